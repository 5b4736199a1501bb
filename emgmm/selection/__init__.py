"""Model selection by information criteria."""
