// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/processes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include "sara/base/error.h"

namespace sara {
namespace {

struct ProcessesTest : testing::Test {
  void TearDown() override { set({}); }
  static void set(const std::map<std::string, std::string>& values) {
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "OMP_NUM_THREADS"})
      unsetenv(name);
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
  }
  static std::string refusal(const std::map<std::string, std::string>& values) {
    set(values);
    try {
      processes_from_environment();
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ProcessesTest, WithoutWorldSizeThereIsOneProcess) {
  set({{"RANK", "3"}});
  EXPECT_EQ(processes_from_environment().count, 1);
  set({{"WORLD_SIZE", "1"}});  // torchrun --nproc-per-node 1
  EXPECT_EQ(processes_from_environment().rank, 0);
}

TEST_F(ProcessesTest, TorchrunsVariablesAreRead) {
  set({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29500"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  const auto found = processes_from_environment();
  EXPECT_EQ(found.rank, 5);
  EXPECT_EQ(found.count, 8);
  EXPECT_EQ(found.local_rank, 1);
  EXPECT_EQ(found.local_count, 4);
  EXPECT_EQ(found.address, "node0");
  EXPECT_EQ(found.port, 29500);
  EXPECT_TRUE(found.launcher_listens);
}

TEST_F(ProcessesTest, ByHandAllProcessesAreOnOneMachine) {
  set({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "1234"}});
  const auto found = processes_from_environment();
  EXPECT_EQ(found.local_rank, 1);
  EXPECT_EQ(found.local_count, 2);
  EXPECT_FALSE(found.launcher_listens);
}

TEST_F(ProcessesTest, AMissingOrImpossibleVariableIsNamed) {
  EXPECT_NE(refusal({{"WORLD_SIZE", "2"}}).find("RANK: not set"), std::string::npos);
  EXPECT_NE(refusal({{"WORLD_SIZE", "2"}, {"RANK", "0"}}).find("MASTER_ADDR: not set"), std::string::npos);
  EXPECT_NE(refusal({{"WORLD_SIZE", "2"}, {"RANK", "2"}}).find("RANK: expected a number from 0 to 1, got 2"), std::string::npos);
  EXPECT_NE(refusal({{"WORLD_SIZE", "two"}}).find("WORLD_SIZE"), std::string::npos);
  EXPECT_NE(refusal({{"WORLD_SIZE", "2"}, {"RANK", "0"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "99999"}}).find("MASTER_PORT"), std::string::npos);
}

TEST_F(ProcessesTest, ProcessesOfOneMachineShareItsCores) {
  Processes two;
  two.count = two.local_count = 2;
  set({});
  const int64_t cores = default_threads(Processes());
  EXPECT_GE(cores, 1);
  EXPECT_EQ(default_threads(two), std::max<int64_t>(1, cores / 2));
  set({{"OMP_NUM_THREADS", "1"}});  // what torchrun sets
  EXPECT_EQ(default_threads(two), std::max<int64_t>(1, cores / 2));
  set({{"OMP_NUM_THREADS", "3"}});
  EXPECT_EQ(default_threads(two), 3);
}

}  // namespace
}  // namespace sara
