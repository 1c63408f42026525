#include "repository/codec/decayed_ratio.h"

#include <algorithm>
#include <cmath>

namespace cacs::repository {

namespace {

/// Half as much again is a change; what is nearer is noise, which the window averages.
constexpr double kOff = 1.5;

}  // namespace

void DecayedRatio::follow_run(double numerator, double denominator) {
  const double ratio = numerator / denominator;
  int side = 0;
  if (ratio > value() * kOff) side = 1;
  if (ratio < value() / kOff) side = -1;
  if (side == 0 || side * run_length_ <= 0) {
    run_length_ = 0;
    run_numerator_ = run_denominator_ = 0;
  }
  run_length_ += side;
  run_numerator_ += numerator;
  run_denominator_ += denominator;
}

bool DecayedRatio::add(double numerator, double denominator, double elapsed) {
  if (!std::isfinite(numerator) || !std::isfinite(denominator) || numerator < 0 || denominator <= 0) return false;
  follow_run(numerator, denominator);
  if (std::abs(run_length_) >= run_) {
    numerator_ = run_numerator_;
    denominator_ = run_denominator_;
    run_length_ = 0;
    return true;
  }
  const double keep = std::exp(-(denominator + std::max(0.0, elapsed)) / window_);
  numerator_ = numerator_ * keep + numerator;
  denominator_ = denominator_ * keep + denominator;
  return false;
}

void DecayedRatio::scale(double factor) {
  if (std::isfinite(factor) && factor > 0) numerator_ *= factor;
}

}  // namespace cacs::repository
