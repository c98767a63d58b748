// SPDX-License-Identifier: Apache-2.0
#include "sara/train/several_processes.h"

#include "sara/base/device.h"
#include "sara/files/json.h"
#include "sara/train/stop_signal.h"

namespace sara {

c10::Device device_of_process(const std::string& name, const Processes& processes) {
  const auto device = device_from_name(name);
  if (processes.count == 1 || !device.is_cuda() || name.find(':') != std::string::npos) return device;
  return device_from_name(message("cuda:", processes.local_rank));
}

void share_encoded_(TrainingData& data, ProcessGroup& group) {
  if (group.size() == 1) return;
  constexpr const char* kWhat = "waiting for rank 0 to encode pictures and captions";
  const Json mine{{"samples", data.latents.samples}, {"latents", data.latents.key}, {"text", data.text.key}, {"rows", data.text.rows}};
  const Json facts = Json::parse(group.shared(mine.dump(), kWhat));
  data.latents.samples = facts["samples"].get<int64_t>();
  data.latents.key = facts["latents"].get<std::string>();
  data.text.key = facts["text"].get<std::string>();
  data.text.rows = facts["rows"].get<std::vector<std::vector<int64_t>>>();
  for (torch::Tensor* tensor : {&data.latents.mean, &data.latents.std, &data.latents.time_ids, &data.text.ids, &data.text.hidden, &data.text.pooled})
    *tensor = group.shared(*tensor, kWhat);
}

void require_same_weights(ProcessGroup& group, const Method& method, const std::string& when) {
  if (group.size() == 1) return;
  group.require_same(method.fingerprint(), message("what is trained (positions and values, ", when, ")"),
                     "give all processes the same model file and options, on machines of one kind");
}

AfterStep agree_after_step(ProcessGroup& group, const Method& method, const TrainingStep& step, bool due) {
  const int64_t saving = StopSignal::save_asked() || due;
  const int64_t wish = group.largest(2 * StopSignal::received() + saving, "step");  // a stop saves too
  StopSignal::adopt(static_cast<int>(wish / 2));
  const AfterStep out{due || wish % 2 == 1, wish / 2 != 0};
  if (out.saves || out.stops || step.report.reselected) require_same_weights(group, method, message("after step ", step.step));
  return out;
}

}  // namespace sara
