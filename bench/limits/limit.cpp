// The job by hand: what a program of the usual parts needs for a part of it, and nothing else.
//
// limit discard|count|write|parse|parse-write PROCESSES CONNECTIONS [DIRECTORY [SYNC_MILLISECONDS]]
//
// Processes that share a listening socket on 127.0.0.1, whose port is printed. Each accepts its part
// of the connections and reads 512 KiB at a time until all have ended; then one JSON object says
// what that took.

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#ifdef WITH_SIMDJSON
#include <simdjson.h>
#endif

namespace {

constexpr size_t kReadBytes = 512 * 1024;
constexpr size_t kWriteBytes = 4 * 1024 * 1024;
constexpr size_t kParseBytes = 64 * 1024;  // at a time: a larger index leaves the cache
constexpr size_t kPaddingBytes = 64;  // the parser may read so far beyond a line
constexpr int kEvents = 64;
constexpr int kPatienceMilliseconds = 1;  // how late a process sees that all have ended

enum class Mode { kDiscard, kCount, kWrite, kParse, kParseWrite };

struct Options {
  Mode mode;
  int processes;
  long connections;
  std::string directory;
  long sync_milliseconds;
};

// What the processes have done so far, in memory that they share.
struct Totals {
  std::atomic<uint64_t> bytes, lines, invalid;
  std::atomic<long> ended;
};

[[noreturn]] void fail(const char* what) {
  perror(what);
  _exit(1);
}

// Collects lines and writes them in large pieces; syncs in a thread of its own, if at all.
class File {
 public:
  File(const std::string& path, long sync_milliseconds)
      : buffer_(new char[kWriteBytes]), descriptor_(open(path.c_str(), O_CREAT | O_WRONLY, 0600)) {
    if (descriptor_ < 0) fail("open");
    if (sync_milliseconds > 0) syncer_ = std::thread([=, this] { sync_until_closed(sync_milliseconds); });
  }

  void append(const char* bytes, size_t length) {
    while (length > 0) {
      const size_t part = std::min(length, kWriteBytes - used_);
      memcpy(buffer_.get() + used_, bytes, part);
      used_ += part, bytes += part, length -= part;
      if (used_ == kWriteBytes) flush();
    }
  }

  void close_durably() {
    flush();
    if (!syncer_.joinable()) return;
    closing_ = true;
    syncer_.join();
    if (fdatasync(descriptor_) != 0) fail("fdatasync");
  }

 private:
  void flush() {
    for (size_t at = 0; at < used_;) {
      const ssize_t written = write(descriptor_, buffer_.get() + at, used_ - at);
      if (written < 0) fail("write");
      at += static_cast<size_t>(written);
    }
    used_ = 0;
  }

  void sync_until_closed(long milliseconds) {
    const timespec interval{0, milliseconds * 1'000'000};
    while (!closing_) {
      nanosleep(&interval, nullptr);
      if (fdatasync(descriptor_) != 0) fail("fdatasync");
    }
  }

  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  int descriptor_;
  std::atomic<bool> closing_ = false;
  std::thread syncer_;
};

struct Connection {
  std::unique_ptr<char[]> buffer{new char[kReadBytes + kPaddingBytes]};
  size_t kept = 0;  // bytes of a line whose end has not come
};

class Worker {
 public:
  Worker(const Options& options, Totals& totals, int listener, int number)
      : options_(options), totals_(totals), listener_(listener) {
    if (options.mode == Mode::kWrite || options.mode == Mode::kParseWrite) {
      const std::string path = options.directory + "/out-" + std::to_string(number);
      file_ = std::make_unique<File>(path, options.sync_milliseconds);
    }
  }

  void run() {
    const int poller = epoll_create1(0);
    watch(poller, listener_);
    epoll_event events[kEvents];
    while (totals_.ended < options_.connections) {
      const int ready = epoll_wait(poller, events, kEvents, kPatienceMilliseconds);
      for (int at = 0; at < ready; ++at) {
        const int descriptor = events[at].data.fd;
        if (descriptor == listener_) {
          accept_one(poller);
        } else if (!receive(descriptor)) {
          close(descriptor);
          ++totals_.ended;
        }
      }
    }
    if (file_) file_->close_durably();
  }

 private:
  static void watch(int poller, int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN, event.data.fd = descriptor;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
  }

  // The kernel would spread a few connections unevenly: whoever has its part leaves the others.
  void accept_one(int poller) {
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (descriptor < 0) return;
    if (connections_.size() <= static_cast<size_t>(descriptor)) connections_.resize(descriptor + 1);
    connections_[descriptor] = Connection{};
    watch(poller, descriptor);
    const long part = (options_.connections + options_.processes - 1) / options_.processes;
    if (++accepted_ < part) return;
    if (epoll_ctl(poller, EPOLL_CTL_DEL, listener_, nullptr) != 0) fail("epoll_ctl");
  }

  // Reads once; false at the end of the stream.
  bool receive(int descriptor) {
    Connection& connection = connections_[descriptor];
    char* start = connection.buffer.get();
    const ssize_t count = recv(descriptor, start + connection.kept, kReadBytes - connection.kept, 0);
    if (count < 0) return errno == EAGAIN;
    totals_.bytes.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
    if (count == 0) return false;
    if (options_.mode == Mode::kDiscard) return true;
    const size_t used = connection.kept + static_cast<size_t>(count);
    const size_t whole = take_lines(start, used);
    connection.kept = used - whole;
    if (connection.kept == kReadBytes) fail("a line is too long");
    memmove(start, start + whole, connection.kept);
    return true;
  }

  // Does the job on every whole line; returns how many bytes these are.
  size_t take_lines(const char* start, size_t length) {
    const char *at = start, *end = start + length;
    uint64_t lines = 0, invalid = 0;
    while (const void* found = memchr(at, '\n', static_cast<size_t>(end - at))) {
      at = static_cast<const char*>(found) + 1;
      ++lines;
    }
    const size_t whole = static_cast<size_t>(at - start);
    const bool parses = options_.mode == Mode::kParse || options_.mode == Mode::kParseWrite;
    if (parses && !are_valid(start, whole, lines)) {
      invalid = keep_valid(start, whole);
    } else if (file_) {
      file_->append(start, whole);
    }
    totals_.lines.fetch_add(lines, std::memory_order_relaxed);
    totals_.invalid.fetch_add(invalid, std::memory_order_relaxed);
    return whole;
  }

  // Writes the lines that are valid, one by one; returns how many are not.
  uint64_t keep_valid(const char* start, size_t length) {
    uint64_t invalid = 0;
    for (const char *at = start, *next; at < start + length; at = next) {
      next = static_cast<const char*>(rawmemchr(at, '\n')) + 1;
      if (!is_valid(at, static_cast<size_t>(next - at) - 1)) {
        ++invalid;
      } else if (file_) {
        file_->append(at, static_cast<size_t>(next - at));
      }
    }
    return invalid;
  }

#ifdef WITH_SIMDJSON
  // Whether so many lines are as many documents, all of them parsed at once, in this thread.
  bool are_valid(const char* lines, size_t length, uint64_t count) {
    if (count == 0) return true;
    parser_.threaded = false;
    simdjson::dom::document_stream documents;
    if (parser_.parse_many(lines, length, kParseBytes).get(documents)) return false;
    for (auto document : documents) {
      if (document.error()) return false;
      --count;
    }
    return count == 0 && documents.truncated_bytes() == 0;
  }

  bool is_valid(const char* line, size_t length) {
    return parser_.parse(line, length, false).error() == simdjson::SUCCESS;
  }
  simdjson::dom::parser parser_;
#else
  static bool are_valid(const char*, size_t, uint64_t) { fail("compiled without simdjson"); }
  static bool is_valid(const char*, size_t) { fail("compiled without simdjson"); }
#endif

  const Options& options_;
  Totals& totals_;
  int listener_;
  long accepted_ = 0;
  std::vector<Connection> connections_;  // by descriptor
  std::unique_ptr<File> file_;
};

int listen_on(sockaddr_in& address) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("bind");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  if (listen(listener, SOMAXCONN) != 0) fail("listen");
  return listener;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

Options parse(int count, char** arguments) {
  const std::pair<const char*, Mode> modes[] = {{"discard", Mode::kDiscard},
                                                {"count", Mode::kCount},
                                                {"write", Mode::kWrite},
                                                {"parse", Mode::kParse},
                                                {"parse-write", Mode::kParseWrite}};
  if (count >= 4) {
    for (const auto& [name, mode] : modes) {
      if (strcmp(name, arguments[1]) != 0) continue;
      return {mode, atoi(arguments[2]), atol(arguments[3]), count > 4 ? arguments[4] : ".",
              count > 5 ? atol(arguments[5]) : 0};
    }
  }
  fprintf(stderr, "see the head of limit.cpp\n");
  exit(2);
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  void* shared = mmap(nullptr, sizeof(Totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  Totals& totals = *new (shared) Totals{};
  sockaddr_in address{};
  address.sin_family = AF_INET, address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = listen_on(address);
  for (int number = 0; number < options.processes; ++number) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // whoever ends this program ends its processes
      Worker(options, totals, listener, number).run();
      _exit(0);
    }
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  bool failed = false;
  for (int status = 0; wait(&status) > 0;) failed |= status != 0;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  printf("{\"lines\":%lu,\"invalid\":%lu,\"bytes\":%lu,\"cpu_seconds\":%.6f,\"ended_ns\":%lld}\n",
         totals.lines.load(), totals.invalid.load(), totals.bytes.load(),
         seconds(usage.ru_utime) + seconds(usage.ru_stime),
         static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
  return failed;
}
