#pragma once

namespace cacs::repository {

/// The ratio of two sums that forget: seconds over bytes, or bytes over bytes. A ratio of sums, not a mean of ratios:
/// it is what a total is made of, so one stalled upload counts by what it cost and many small ones do not count more
/// than their bytes. A change of level does not have to wait for the window: when `run` measurements in a row lie on
/// the same side of the value and off it by more than half as much again, what was before them is forgotten. Pure; one
/// thread at a time.
class DecayedRatio {
 public:
  /// Starts at `start`, believed as much as a measurement of `start_weight` (in the denominator's unit) would be.
  /// `window`: how much of the denominator until a measurement counts 1/e.
  DecayedRatio(double start, double start_weight, double window, int run)
      : numerator_(start * start_weight), denominator_(start_weight), window_(window), run_(run) {}

  /// Measurements that cannot be (a denominator of none, negative or infinite values) are ignored. `elapsed`, in the
  /// denominator's unit: how much has gone by unmeasured since the last one; it ages what is known as well.
  /// Returns whether a run has just been taken for a change of level.
  bool add(double numerator, double denominator, double elapsed = 0);
  /// What is known is taken to have changed by this factor, as something measured alongside has. Not finite or not
  /// positive: ignored.
  void scale(double factor);
  [[nodiscard]] double value() const { return numerator_ / denominator_; }

 private:
  void follow_run(double numerator, double denominator);

  double numerator_;
  double denominator_;
  double window_;
  int run_;
  int run_length_ = 0;  ///< negative: below the value
  double run_numerator_ = 0;
  double run_denominator_ = 0;
};

}  // namespace cacs::repository
