// SPDX-License-Identifier: Apache-2.0
#include "sara/train/fine_tune.h"

#include <torch/types.h>

#include <chrono>
#include <filesystem>

#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/atomic_file.h"
#include "sara/optim/lr_curve.h"
#include "sara/samplers/scheduler_config.h"
#include "sara/train/dreambooth.h"
#include "sara/train/encoding.h"
#include "sara/train/objective.h"
#include "sara/train/process_memory.h"
#include "sara/train/progress.h"
#include "sara/train/report.h"
#include "sara/train/run_checkpoints.h"
#include "sara/train/run_folder.h"
#include "sara/train/run_records.h"
#include "sara/train/run_samples.h"
#include "sara/train/several_processes.h"
#include "sara/train/stop_signal.h"
#include "sara/train/trainer.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kSpareBytes = 256 << 20;  // log, samples and report of any run fit well
constexpr int64_t kProcessTimeout = 7200;   // seconds
constexpr int64_t kWeightBytes = 8;         // at most, in the result: an fp32 value, and for an adapter its index
constexpr int64_t kCheckpointBytes = 12;    // a trained weight's value and moments; two are there while an older one is replaced

// Of an AnimateDiff model the motion modules alone are trained unless somebody says otherwise.
MethodOptions method_options(const FineTuneRequest& request, bool clips) {
  auto options = request.method;
  if (clips && options.include().empty()) options.include({"motion_modules\\."});
  return options;
}

double chosen_lr(const Method& method, const MethodOptions& options) { return options.lr() ? *options.lr() : method.default_lr(); }

// The run of a rank that writes nothing.
Json follow(const RunCheckpoints& checkpoints, Trainer& trainer, Method& method, ProcessGroup& group) {
  const StopSignal signals;
  trainer.run([&](const TrainingStep& step) { return !agree_after_step(group, method, step, checkpoints.due(step.step)).stops; });
  require_same_weights(group, method, "at the end");
  Json summary{{"rank", group.rank()}};
  if (StopSignal::received()) summary["stopped"] = StopSignal::exit_code();
  return summary;
}

}  // namespace

Json fine_tune(const FineTuneRequest& request) {
  const Processes processes = processes_from_environment();
  const bool first = processes.rank == 0;
  set_silent(!first);
  if (request.run.process_timeout && processes.count == 1) throw InvalidArgument("process_timeout: no effect in one process. Fix: leave it out, or start several with torchrun");
  const auto device = device_of_process(request.run.device, processes);
  if (request.train.cuda_graph) {
    if (request.run.method != "sara") throw InvalidArgument(message("cuda_graph: not with method ", request.run.method, ", whose gradient does not stay where it is. Fix: leave it out"));
    cuda::PassGraph::require(device);
  }
  if (request.run.data.empty()) throw InvalidArgument("data: missing. Fix: add --data FOLDER");
  if (request.run.sample_every && request.run.sample_prompt.empty())
    throw InvalidArgument("sample_every: no effect without prompts. Fix: add --sample-prompt TEXT, or leave it out");
  if (request.run.output.empty()) throw InvalidArgument("output: missing. Fix: add --output FOLDER");
  lr_curve(request.train.lr_scheduler, 1, request.train.steps, request.train.lr_warmup_steps);  // throws where curve and warm-up do not fit
  check_memory_options(request.memory);
  check_checkpoint_options(request.checkpoint, request.run.overwrite);
  check_subject_options(request.subject, request.run.data);
  ModelFolder model(request.model, request.reading);
  model.require_whole();
  if (request.allow_nonfinite) model.allow_nonfinite();
  ImageFolderReport image_report;
  const bool clips = model.family() == "animatediff";
  if (!clips && (request.clips.num_frames || request.clips.frame_stride))
    throw InvalidArgument("num_frames, frame_stride: no effect on models of pictures. Fix: leave them out, or add --motion-adapter");
  if (clips && request.subject.prior_preservation) throw InvalidArgument("prior_preservation: not for models that make clips. Fix: leave it out");
  if (processes.count > 1 && request.subject.prior_preservation)
    throw InvalidArgument("prior_preservation: not in several processes. Fix: leave it out, or train in one process");
  auto samples = (clips ? read_clip_folder : read_image_folder)(request.run.data, request.images, &image_report);
  ClassFolder class_folder;
  if (request.subject.prior_preservation) class_folder = read_class_folder(request.subject, request.images);
  ProcessGroup group(processes, std::chrono::seconds(request.run.process_timeout.value_or(kProcessTimeout)));
  std::optional<RunFolder> folder;  // of rank 0
  if (first) folder.emplace(request.run.output, request.checkpoint.resume ? EarlierRun::resume : request.run.overwrite ? EarlierRun::replace : EarlierRun::refuse, kSpareBytes);
  group.wait_for_all("opening the output folder");
  RunCheckpoints checkpoints(request.run.output, request.checkpoint, request.config, device, request.train.steps, processes.count);
  group.require_same(message(checkpoints.settings(), "|", request.train.max_skipped_steps), "the run (settings, threads, processor, versions, checkpoint to resume from)",
                     "give all processes the same options, on machines of one kind");
  const auto objective = make_objective(SchedulerConfig::from_json(model.scheduler_config(), model.component_path("scheduler") + "/scheduler_config.json"),
                                        request.train, request.flow);

  // Before the pictures are encoded: a threshold or a rate that is refused should not cost that wait.
  const auto denoiser = model.load_denoiser(dtype_from_precision(request.train.precision), device);
  checkpoints.base_is(weights_hash(denoiser_tensors(model, *denoiser)));
  if (clips) clip_frames(*denoiser, ClipFrames(samples, request.clips).frames());  // throws for more than the motion modules know
  const int64_t unit = denoiser->inputs().patch * model.read_config<VaeConfig>("vae").factor();
  if (request.transforms.resolution % unit != 0)
    throw InvalidArgument(message("resolution: not a multiple of ", unit, " (got ", request.transforms.resolution, ")"));
  const auto method = make_method(request.run.method, denoiser_tensors(model, *denoiser), method_options(request, clips), request.train.steps);
  const double lr = chosen_lr(*method, request.method);
  if (first) folder->require_free(kSpareBytes + (kWeightBytes + (request.checkpoint.checkpoint_every ? 2 * kCheckpointBytes : 0)) * method->trained());
  const auto subject_images = static_cast<int64_t>(samples.size());
  if (class_folder.missing > 0) class_folder = draw_missing_class_pictures(request, model, denoiser, class_folder);
  samples.insert(samples.end(), class_folder.samples.begin(), class_folder.samples.end());
  auto data = encode_training_data(request, model, samples, device, group);
  if (request.subject.prior_preservation)
    data.classes = {static_cast<int64_t>(class_folder.samples.size()), request.subject.prior_loss_weight.value_or(SubjectOptions::kPriorLossWeight)};
  const int64_t pictures_a_batch = request.train.batch_size * (data.classes ? 2 : 1);
  checkpoints.data_is(data_hash(data));
  const int64_t factor = model.read_config<VaeConfig>("vae").factor(), side = request.transforms.resolution / factor;
  const PassSize size{pictures_a_batch, side, side, data.text.hidden.size(1), static_cast<int64_t>(denoiser->parameters().front().element_size()),
                      data.clips ? data.clips->frames() : 1};
  const MemoryLevel level = choose_memory_level(*denoiser, size, request.memory, kStateBytes * method->trained(), processes.local_count);
  log_info(message("memory: ", memory_level_name(level), ", about ", denoiser->kept_bytes(size, level) / 1'000'000, " MB between forward and backward"));
  log_info(message(request.run.method, ": ", method->trained(), " weights are trained on ", subject_images, data.classes ? message(" images and ", data.classes->count, " of their class at ") : clips ? " clips at " : " images at ", request.transforms.resolution,
                   " px, learning rate ", lr));
  if (group.size() > 1) log_info(message("processes: ", group.size(), ", a batch of ", request.train.batch_size * group.size(), " over all of them"));

  std::optional<RunState> restored;
  if (checkpoints.resumed()) {
    restored = checkpoints.restored();
    method->load_state_(restored->method);
    restored->method = {};
  }
  require_same_weights(group, *method, "at the start");
  Trainer trainer(*denoiser, *method, *objective, data, request.train, request.method.seed(), lr, &group);
  if (restored) trainer.load_state(restored->trainer);
  if (!first) return follow(checkpoints, trainer, *method, group);

  // From here on the run leaves files: what is refused above may be tried again in the same folder.
  write_file(folder->file("config.toml"), request.config_toml);
  write_skipped(folder->file("skipped.txt"), image_report);
  if (!restored) draw_samples(request, model, denoiser, folder->file("samples/before"));

  Progress progress(folder->file("metrics.jsonl"), request.train.steps, pictures_a_batch * request.train.gradient_accumulation_steps * group.size(),
                    restored ? restored->progress : ProgressState{});
  const auto result_path = folder->file(request.run.method == "full" ? "weights.safetensors" : "adapter.safetensors");
  int64_t last_step = restored ? restored->trainer.step : 0;
  TrainingStep last;
  const auto save = [&](const std::string& path) { method->save(path, adapter_metadata(request, model, lr, last_step, group.size())); };
  int stopped = 0;
  {
    const StopSignal signals;
    const auto checkpoint = [&] {
      progress.flush_to_disk();
      checkpoints.save({method->state(), trainer.state(), progress.state()});
    };
    try {
      trainer.run([&](const TrainingStep& step) {
        last_step = step.step;
        last = step;
        progress.add(step);
        if (request.run.sample_every && step.step % *request.run.sample_every == 0 && step.step < request.train.steps)
          draw_samples(request, model, denoiser, folder->file(message("samples/", sample_folder_name(step.step))));
        const AfterStep next = agree_after_step(group, *method, step, checkpoints.due(step.step));
        if (next.saves) checkpoint();
        return !next.stops;
      });
      require_same_weights(group, *method, "at the end");
      if (StopSignal::received()) checkpoint();
    } catch (const NonFinite&) {
      const auto rescue = folder->file("emergency/" + fs::path(result_path).filename().string());
      fs::create_directories(fs::path(rescue).parent_path());
      save(rescue);
      write_json(folder->file("nan_report.json"), non_finite_report(last, samples, model, *denoiser));
      log_warning(message("saved the last finite weights: ", rescue, "; nan_report.json names the step's files, timesteps and layers"));
      throw;
    } catch (const std::exception&) {
      if (last_step == 0) throw;
      try {
        save(result_path);
        log_warning(message("saved what was trained up to step ", last_step, ": ", result_path));
      } catch (const std::exception& second) {
        log_warning(message("what was trained up to step ", last_step, " could not be saved either: ", second.what()));
      }
      throw;
    }
    save(result_path);
    if (StopSignal::received()) {
      stopped = StopSignal::exit_code();
      if (checkpoints.last_saved() != last_step) checkpoint();  // the signal came after the last look
      log_warning(message("stopped after step ", last_step, "; saved ", result_path, " and ", folder->file(message("checkpoints/step-", last_step))));
    }
  }
  method->use_averages_();
  auto summary = method->summary();
  summary["steps"] = last_step;
  summary[clips ? "clips" : "images"] = subject_images;
  if (data.classes) {
    summary["class_images"] = data.classes->count;
    summary["prior_loss_weight"] = data.classes->weight;
  }
  summary["resolution"] = request.transforms.resolution;
  summary["batch_size"] = request.train.batch_size;
  summary["memory"] = memory_level_name(level);
  summary["precision"] = request.train.precision;
  summary["lr"] = lr;
  if (progress.loss_scale()) {
    summary["loss_scale"] = *progress.loss_scale();
    summary["overflowed_steps"] = progress.overflowed();
  }
  summary["final_loss"] = progress.smoothed_loss();
  summary["seconds_per_step"] = progress.median_seconds();
  summary["training_seconds"] = progress.elapsed();
  summary["peak_memory_gb"] = double(peak_resident_bytes()) / 1e9;
  summary["result"] = fs::path(result_path).filename().string();
  if (group.size() > 1) summary["processes"] = group.size();
  if (stopped) summary["stopped"] = stopped;
  if (!stopped) draw_samples(request, model, denoiser, folder->file("samples/after"));
  write_file(folder->file("loss.svg"), loss_chart(progress.losses()));
  write_file(folder->file("report.html"), report_page(folder->path(), summary, request.config_toml, progress.losses(), request.run.sample_prompt));
  write_json(folder->file("summary.json"), summary);  // last: it says that the run is finished, and a killed one goes on until then
  return summary;
}

}  // namespace sara
