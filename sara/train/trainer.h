// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "sara/cuda/pass_graph.h"
#include "sara/data/batches.h"
#include "sara/data/clip_frames.h"
#include "sara/data/latent_cache.h"
#include "sara/data/text_cache.h"
#include "sara/data/transforms.h"
#include "sara/distributed/process_group.h"
#include "sara/methods/method.h"
#include "sara/models/denoiser.h"
#include "sara/train/loss_scale.h"
#include "sara/train/objective.h"
#include "sara/train/train_options.h"

namespace sara {

// What a denoiser is trained on: cached latents and text, and how pictures enter the diffusion.
struct TrainingData {
  LatentCache latents;
  TextCache text;
  TransformOptions transforms;  // which epochs see a picture mirrored
  double scaling_factor = 1, shift_factor = 0;
  std::optional<ClipFrames> clips = {};  // when the latents are the frames of these
  struct ClassPictures {                 // DreamBooth's: the last `count` samples; one goes beside each of the others in a batch
    int64_t count = 0;
    double weight = 1;  // of their loss
  };
  std::optional<ClassPictures> classes = {};

  int64_t samples() const { return (clips ? clips->clips() : latents.samples) - (classes ? classes->count : 0); }  // without those
};

// One optimizer step as the log and the progress line see it.
struct TrainingStep {
  int64_t step = 0;  // 1-based
  double loss = 0;   // mean over the micro-batches of all processes, without the rank term
  std::optional<double> class_loss;  // the class pictures' part of it, without its weight
  double lr = 0;
  double seconds = 0;
  std::optional<double> loss_scale;  // of this step's backward pass, in fp16
  bool overflowed = false;           // left out because the scaled gradient overflowed: the scale falls and training goes on
  std::vector<int64_t> samples, timesteps;  // of all its micro-batches
  StepReport report;
};

// Where the loop stands between two steps. All draws depend on (seed, step) alone, so that this and the method's state are
// all that a run needs to go on bit for bit.
struct TrainerState {
  int64_t step = 0;        // taken
  int64_t skipped = 0;     // non-finite ones in a row, up to this step
  bool exhausted = false;  // a reselection left nothing to train
  std::optional<LossScale> loss_scale;  // in fp16
};

// The loop (Sec. 4, Alg. 1): batch -> noise -> denoiser -> loss -> backward -> method.step(). It knows Method, not SaRA.
// All draws depend on (seed, step) alone, so that the same run gives the same bits.
//
// In several processes each takes its rows of every micro-batch of batch_size x processes: order of the data, noise and timesteps are
// those of one process with that batch size. Gradients are averaged once an optimizer step, before everything that depends on them,
// so all ranks take the same step, or skip it together; loss, samples and timesteps of a TrainingStep are those of all ranks.
//
// With options.cuda_graph the passes are recorded and started as one graph (cuda/pass_graph.h): only for methods whose gradient keeps its place, as SaRA's does, and
// anew after a reselection.
class Trainer {
 public:
  Trainer(Denoiser& denoiser, Method& method, const Objective& objective, const TrainingData& data, const TrainOptions& options,
          uint64_t seed, double lr, ProcessGroup* processes = nullptr);  // null: this process alone

  // Runs the steps that are left, 1..options.steps on a fresh object; calls `after` behind each one; returns early when `after` gives false, and
  // with a warning when nothing is left to train after a reselection.
  // In fp16 the loss is scaled (train/loss_scale.h); a step whose loss is finite and whose gradient overflows while the scale can fall
  // is left out and is not counted as non-finite.
  // Throws NonFinite after max_skipped_steps non-finite steps in a row; weights are then those of the last good step.
  void run(const std::function<bool(const TrainingStep&)>& after);

  // Inside `after`, and between two calls of run(). Throws InvalidArgument for a state with a loss scale without fp16, or the reverse.
  const TrainerState& state() const { return state_; }
  void load_state(const TrainerState& state);

 private:
  struct MicroBatch {  // on the denoiser's device
    torch::Tensor noisy, told, context;
    AddedConditions added;
    LossTerms terms;
  };
  struct Losses {  // total: a part of the mean over micro-batches; class_part undefined without class pictures
    torch::Tensor total, class_part;
  };
  TrainingStep take_step();
  void average_over_processes(TrainingStep& step);
  MicroBatch micro_batch(TrainingStep& step, int64_t part) const;
  Losses forward(const MicroBatch& batch) const;
  std::pair<double, std::optional<double>> take_passes(const MicroBatch& batch);
  std::vector<torch::Tensor> recorded_passes(const std::vector<torch::Tensor>& inputs) const;

  Denoiser& denoiser_;
  Method& method_;
  const Objective& objective_;
  const TrainingData& data_;
  TrainOptions options_;
  uint64_t seed_;
  double lr_;
  std::pair<int64_t, int64_t> timesteps_;
  ProcessGroup* processes_;
  BatchOrder order_;
  std::optional<BatchOrder> class_order_;
  TrainerState state_;
  std::optional<cuda::PassGraph> graph_;
};

}  // namespace sara
