#include "api/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <charconv>
#include <mutex>
#include <unordered_map>

#include "base/io.h"
#include "base/text.h"

namespace cacs::api {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries& buckets() {
  static const Histogram::BucketBoundaries kBuckets = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30};
  return kBuckets;
}

constexpr std::array<std::string_view, 11> kStates = {"QUEUED",    "CREATING",   "PROVISIONING", "READY",
                                                      "RUNNING",   "RESTARTING", "SUSPENDING",   "SUSPENDED",
                                                      "COMPLETED", "ERROR",      "TERMINATING"};

/// Resident memory of this process, or 0 where /proc does not tell.
double resident_bytes() {
  const auto text = read_text_file("/proc/self/statm", 4'096);
  if (!text.ok()) return 0;
  const std::vector<std::string> fields = split(*text, ' ');
  std::int64_t pages = 0;
  if (fields.size() > 1) std::from_chars(fields[1].data(), fields[1].data() + fields[1].size(), pages);
  return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

struct Metrics::Impl {
  /// What belongs to one operation. Counters are made when a status is first answered.
  struct PerRoute {
    std::string method;
    std::string path;
    Histogram* latency = nullptr;
    std::mutex mutex;
    std::vector<std::pair<int, Counter*>> by_status;
  };

  PerRoute& route_of(std::string_view method, std::string_view route) {
    if (route.starts_with("/v1/")) route.remove_prefix(3);
    if (method == "HEAD") method = "GET";
    const auto found = by_path.find(std::string(route));
    if (found != by_path.end()) {
      for (PerRoute* one : found->second) {
        if (one->method == method) return *one;
      }
    }
    return other;
  }

  void add_route(PerRoute& route) {
    route.latency = &latency.Add({{"method", route.method}, {"route", route.path}}, buckets());
  }

  prometheus::Registry registry;
  prometheus::Family<Counter>& requests = prometheus::BuildCounter()
                                              .Name("cacs_http_requests_total")
                                              .Help("Answers by route and status")
                                              .Register(registry);
  prometheus::Family<Histogram>& latency = prometheus::BuildHistogram()
                                               .Name("cacs_http_request_duration_seconds")
                                               .Help("Time from a request's first byte to its answer")
                                               .Register(registry);
  prometheus::Family<Gauge>& applications =
      prometheus::BuildGauge().Name("cacs_applications").Help("Applications by state").Register(registry);
  Gauge& connections =
      prometheus::BuildGauge().Name("cacs_http_connections").Help("Open connections").Register(registry).Add({});
  Gauge& accepted = prometheus::BuildGauge()
                        .Name("cacs_http_connections_accepted")
                        .Help("Connections taken since the start")
                        .Register(registry)
                        .Add({});
  Gauge& refused = prometheus::BuildGauge()
                       .Name("cacs_http_connections_refused")
                       .Help("Connections refused since the start for being too many")
                       .Register(registry)
                       .Add({});
  Gauge& memory = prometheus::BuildGauge()
                      .Name("process_resident_memory_bytes")
                      .Help("Resident memory of the server")
                      .Register(registry)
                      .Add({});
  std::vector<std::unique_ptr<PerRoute>> routes;
  std::unordered_map<std::string, std::vector<PerRoute*>> by_path;
  PerRoute other;
  std::mutex collect_mutex;
};

Metrics::Metrics(const std::vector<Operation>& operations) : impl_(std::make_unique<Impl>()) {
  for (const Operation& operation : operations) {
    auto route = std::make_unique<Impl::PerRoute>();
    route->method = operation.method;
    route->path = operation.path;
    impl_->add_route(*route);
    impl_->by_path[operation.path].push_back(route.get());
    impl_->routes.push_back(std::move(route));
  }
  impl_->other.method = "other";
  impl_->other.path = "none";
  impl_->add_route(impl_->other);
}

Metrics::~Metrics() = default;

void Metrics::observe(std::string_view method, std::string_view route, int status, std::chrono::nanoseconds took) {
  Impl::PerRoute& entry = impl_->route_of(method, route);
  entry.latency->Observe(std::chrono::duration<double>(took).count());
  const std::lock_guard lock(entry.mutex);
  auto found = std::find_if(entry.by_status.begin(), entry.by_status.end(),
                            [status](const auto& one) { return one.first == status; });
  if (found == entry.by_status.end()) {
    Counter& counter =
        impl_->requests.Add({{"method", entry.method}, {"route", entry.path}, {"status", std::to_string(status)}});
    found = entry.by_status.insert(found, {status, &counter});
  }
  found->second->Increment();
}

std::string Metrics::collect(application::Service& service, const net::ServerStats& stats) {
  const std::lock_guard lock(impl_->collect_mutex);
  impl_->connections.Set(static_cast<double>(stats.connections));
  impl_->accepted.Set(static_cast<double>(stats.accepted));
  impl_->refused.Set(static_cast<double>(stats.refused));
  impl_->memory.Set(resident_bytes());
  std::unordered_map<std::string, double> counts;
  application::ListFilter filter{.limit = 1'000};
  while (true) {
    const auto page = service.list({}, filter);
    if (!page.ok()) break;  // what can be told is told: a scrape must not fail because the service is stopping
    for (const auto& view : page->items) counts[view.state] += 1;
    if (page->next_cursor.empty()) break;
    filter.cursor = page->next_cursor;
  }
  for (const std::string_view state : kStates) {
    impl_->applications.Add({{"state", std::string(state)}}).Set(counts[std::string(state)]);
  }
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace cacs::api
