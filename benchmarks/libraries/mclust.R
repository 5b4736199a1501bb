# EM by mclust: Rscript mclust.R FOLDER MODEL D K ITERATIONS, on binary files of doubles in FOLDER.
suppressPackageStartupMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
model <- arguments[2]
sizes <- as.integer(arguments[3:5])
d <- sizes[1]
k <- sizes[2]
read <- function(name) {
  path <- file.path(folder, name)
  readBin(path, "double", file.size(path) / 8)
}
x <- matrix(read("X"), ncol = d, byrow = TRUE)
sigma <- array(read("covariances"), c(d, d, k))
cholsigma <- array(apply(sigma, 3, chol), c(d, d, k))
if (model == "EEE") cholsigma <- cholsigma[, , 1]
variance <- list(modelName = model, d = d, G = k, cholsigma = cholsigma, cholSigma = cholsigma)
start <- list(pro = read("weights"), mean = matrix(read("means"), d, k), variance = variance)
control <- emControl(tol = c(0, 0), itmax = sizes[3])
fit <- em(x, modelName = model, parameters = start, control = control, warn = FALSE)
found <- fit$parameters
writeBin(c(found$pro, found$mean, found$variance$sigma), file.path(folder, "fitted"))
