// Armadillo's mixtures behind two C functions, which bench_armadillo.py builds and calls.
// Arrays are Armadillo's, column by column: X is (D, N) here and (N, D) in C's order.
// The parameters are read as the start and overwritten with where EM ended.

#include <algorithm>
#include <armadillo>

using arma::uword;

template <class Model>
static bool learn(Model& model, const double* X, uword N, uword D, uword K, uword n_iter) {
    const arma::mat rows(const_cast<double*>(X), D, N, false, true);
    return model.learn(rows, K, arma::maha_dist, arma::keep_existing, 0, n_iter, 0.0, false);
}

template <class From>
static void copy(const From& from, double* to) {
    std::copy(from.begin(), from.end(), to);
}

extern "C" int fit_full(const double* X, uword N, uword D, uword K, uword n_iter, double* weights,
                        double* means, double* covariances) {
    arma::gmm_full model;
    model.set_params(arma::mat(means, D, K), arma::cube(covariances, D, D, K),
                     arma::rowvec(weights, K));
    if (!learn(model, X, N, D, K, n_iter)) return 1;
    copy(model.hefts, weights);
    copy(model.means, means);
    copy(model.fcovs, covariances);
    return 0;
}

extern "C" int fit_diag(const double* X, uword N, uword D, uword K, uword n_iter, double* weights,
                        double* means, double* variances) {
    arma::gmm_diag model;
    model.set_params(arma::mat(means, D, K), arma::mat(variances, D, K), arma::rowvec(weights, K));
    if (!learn(model, X, N, D, K, n_iter)) return 1;
    copy(model.hefts, weights);
    copy(model.means, means);
    copy(model.dcovs, variances);
    return 0;
}
