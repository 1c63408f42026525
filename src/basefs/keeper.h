#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "basefs/contents.h"
#include "basefs/record.h"
#include "basefs/surroundings.h"
#include "basefs/watches.h"

namespace cacs::basefs {

struct KeeperOptions {
  std::filesystem::path base = "/";   ///< lower layer
  std::filesystem::path upper;        ///< upper layer of the same overlay
  std::filesystem::path directory;    ///< of its own, for journal and contents; made where missing
  std::string prefix;                 ///< see OpenWatch::start
  std::vector<std::string> excluded;  ///< trees that programs cannot see or that do not matter
  std::size_t max_files = 20'000;
  std::uint64_t max_bytes = std::uint64_t{512} << 20U;  ///< of contents kept
  /// Something about a file that its owner should know; from a thread of the keeper.
  std::function<void(const std::string& path, const std::string& what)> report;
};

/// Keeps an overlay's programs on the base that they started with: notices what they open, keeps copies of it and of
/// what surrounds it (in the background, giving way to everything), and when the base changes puts the recorded version
/// into the overlay. Its journal lets another keeper go on after a kill. Any thread may call.
class Keeper {
 public:
  static Result<std::unique_ptr<Keeper>> open(KeeperOptions options);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// Takes over what an earlier overlay of the same program depended on, at a restore. The base matches it by now,
  /// or the upper layer holds it. Before attach().
  void seed(const Record& record);
  /// Starts to watch; `root` is the mounted overlay's root directory. When watching opened files is impossible that is
  /// a warning: scan() still finds what is in use. Once.
  Status attach(UniqueFd root);
  /// A file or directory that the program was told of (its working directory, an argument).
  void hint(const std::string& path);
  /// Takes in what the processes of this pid namespace have open or mapped, and compares everything recorded with the
  /// base (what no event told of: a directory far above was moved).
  void scan(pid_t init);

  /// While it is held nothing is written into the overlay: its upper layer is being captured. To be held shortly.
  [[nodiscard]] std::unique_lock<std::mutex> hold() { return std::unique_lock(mask_mutex_); }
  /// Waits until everything that was opened before the call, and what surrounds it, is kept. False: not within `limit`.
  bool settle(std::chrono::milliseconds limit);

  [[nodiscard]] Record view() const;
  /// The kept content of this digest.
  [[nodiscard]] Result<UniqueFd> content(const std::string& digest) const { return contents_.open(digest); }
  /// Where contents were stored: digest to token. Later views carry it.
  void remember_tokens(const std::map<std::string, std::string>& tokens);
  /// What was left out, and files that changed and could not be served.
  [[nodiscard]] std::vector<std::string> warnings() const;

 private:
  explicit Keeper(KeeperOptions options);
  using Lock = std::unique_lock<std::mutex>;

  Status load_journal();
  void journal(const std::string& line);
  void put(const Entry& entry);
  void warn(const std::string& warning);
  void complain(const std::string& path, const std::string& what);

  // keeper_watch.cpp: the thread that reads events
  void watch_loop();
  void on_opened(const OpenWatch::Event& event);
  void on_changed(const ChangeWatch::Event& event);
  void verify(const std::string& path);
  void verify_tree(const std::string& tree);
  void keep_recorded(const Entry& entry);
  bool note(const std::string& path, bool opened);
  void ask_surroundings(const Surroundings& where);

  // keeper_save.cpp: the thread that copies
  void save_loop();
  void save(const std::string& path);
  void note_links(const Entry& entry);
  bool busy() const;

  [[nodiscard]] std::string base_path(const std::string& path) const;

  const KeeperOptions options_;
  const Contents contents_;
  OpenWatch opens_;
  ChangeWatch changes_;
  UniqueFd root_;
  UniqueFd wake_;
  UniqueFd journal_;
  std::atomic<pid_t> init_{0};

  std::mutex mask_mutex_;  ///< before mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Record record_;
  std::set<std::string> complaints_;
  std::uint64_t kept_bytes_ = 0;
  std::deque<std::string> save_first_;  ///< opened
  std::deque<std::string> save_later_;  ///< near
  std::deque<Surroundings> walks_;
  std::vector<std::string> walked_;  ///< trees that need no second walk
  bool saving_ = false;
  bool stopping_ = false;
  std::uint64_t passes_wanted_ = 0;
  std::uint64_t passes_done_ = 0;
  /// For each directory: target to name of the links in it that lead to the directory itself. The saver's only.
  std::map<std::string, std::multimap<std::string, std::string>> links_;
  std::thread watcher_;
  std::thread saver_;
};

}  // namespace cacs::basefs
