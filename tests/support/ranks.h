// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "sara/distributed/process_group.h"

namespace sara {

// A port of this machine that nobody listens on.
inline int64_t free_port() {
  const int socket_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  close(socket_);
  return ntohs(address.sin_port);
}

inline Processes rank_of(int64_t rank, int64_t count, int64_t port) {
  Processes out;
  out.rank = out.local_rank = rank;
  out.count = out.local_count = count;
  out.address = "127.0.0.1";
  out.port = port;
  return out;
}

// Runs `body` once a rank, each in a thread of its own: what one rank threw, "" where it threw nothing.
inline std::vector<std::string> run_ranks(int64_t count, const std::function<void(ProcessGroup&)>& body, int timeout_seconds = 60) {
  const int64_t port = free_port();
  std::vector<std::string> thrown(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        ProcessGroup group(rank_of(rank, count, port), std::chrono::seconds(timeout_seconds));
        body(group);
      } catch (const std::exception& error) {
        thrown[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return thrown;
}

}  // namespace sara
