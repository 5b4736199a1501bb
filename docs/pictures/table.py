"""Wine: the selected mixture in two of its four columns."""

from sklearn.datasets import load_wine

from emgmm import GaussianMixtureDisplay, GaussianMixtureIC

X = load_wine(as_frame=True).data[["alcohol", "flavanoids", "color_intensity", "proline"]].copy()
X.loc[[10, 50], "proline"] = float("nan")
families = ["EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV"]
chosen = GaussianMixtureIC(range(1, 6), covariance_type=families, random_state=0).fit(X)
GaussianMixtureDisplay.from_estimator(chosen, X, features=["flavanoids", "color_intensity"])
