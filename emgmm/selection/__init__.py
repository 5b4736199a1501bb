"""The choice among models by an information criterion."""
