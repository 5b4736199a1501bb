"""Old Faithful: BIC of mclust's fourteen families with one to four components."""

from emgmm import GaussianMixtureIC, InformationCriterionDisplay
from emgmm.datasets import old_faithful

chosen = GaussianMixtureIC(range(1, 5), random_state=0).fit(old_faithful().rows)
InformationCriterionDisplay.from_estimator(chosen)
