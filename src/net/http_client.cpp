#include "net/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>

#include "base/json.h"
#include "base/text.h"
#include "net/netlink.h"
#include "net/socket_options.h"

namespace cacs::net {
namespace {

struct EasyDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiDelete {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// One connection at a time: an easy handle, and the multi handle that owns its connection and can be woken.
struct Handle {
  std::unique_ptr<CURLM, MultiDelete> multi{curl_multi_init()};
  std::unique_ptr<CURL, EasyDelete> easy{curl_easy_init()};
};

/// What curl's callbacks fill in.
struct Transfer {
  ClientResponse response;
  const OnData* on_data = nullptr;
  std::size_t max_bytes = 0;
  CURL* easy = nullptr;
  bool too_large = false;
  bool enough = false;
};

std::size_t on_body(const char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.on_data != nullptr && status >= 200 && status < 300) {
    transfer.enough = !(*transfer.on_data)(std::string_view(data, bytes));
    return transfer.enough ? CURL_WRITEFUNC_ERROR : bytes;
  }
  if (transfer.response.body.size() + bytes > transfer.max_bytes) {
    transfer.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line = trim(std::string_view(data, size * count));
  if (line.starts_with("HTTP/")) {
    transfer.response.headers = Headers();  // those of an interim answer (100) do not count
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return size * count;
}

Error curl_error(CURLcode code, const char* detail, const std::string& doing) {
  const std::string why = *detail != '\0' ? detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return make_error(ErrorCode::kTimeout, fmt::format("{}: {}", doing, why));
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
      return make_error(ErrorCode::kUnavailable, fmt::format("{}: {}", doing, why), "is the other side running?");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return make_error(ErrorCode::kPermission, fmt::format("{}: {}", doing, why),
                        "the other side's certificate is not trusted: name the file of the authority that issued it");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return make_error(ErrorCode::kInvalidArgument, fmt::format("{}: {}", doing, why));
    default:
      return make_error(ErrorCode::kIo, fmt::format("{}: {}", doing, why));
  }
}

std::unique_ptr<curl_slist, ListDelete> header_list(const Headers& common, const Headers& own) {
  std::unique_ptr<curl_slist, ListDelete> list;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) return;
    static_cast<void>(list.release());
    list.reset(longer);
  };
  for (const auto& [name, value] : common.fields()) {
    if (own.find(name) == nullptr) add(fmt::format("{}: {}", name, value));
  }
  for (const auto& [name, value] : own.fields()) add(fmt::format("{}: {}", name, value));
  add("Expect:");  // a round trip saved: our own servers refuse from the header alone anyway
  return list;
}

bool has_line_end(const Headers& headers) {
  return std::any_of(headers.fields().begin(), headers.fields().end(), [](const auto& field) {
    return (field.first + field.second).find_first_of("\r\n") != std::string::npos;
  });
}

/// libcurl's: makes the socket of a connection, in the network namespace that is wanted.
curl_socket_t open_socket(void* wanted, curlsocktype /*purpose*/, curl_sockaddr* address) {
  int fd = -1;
  const Status made = in_network(*static_cast<const int*>(wanted), [&]() -> Status {
    fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return {};
  });
  if (made.ok() || fd < 0) return fd < 0 ? CURL_SOCKET_BAD : fd;
  ::close(fd);
  return CURL_SOCKET_BAD;
}

/// libcurl's: a silent other end is asked by the kernel whether it is there.
int watch_peer(void* limit, curl_socket_t fd, curlsocktype /*purpose*/) {
  give_up_silent_peer(fd, *static_cast<const std::chrono::milliseconds*>(limit));
  return CURL_SOCKOPT_OK;
}

/// Runs one transfer to its end or until `stop`.
CURLcode perform(Handle& handle, const std::stop_token& stop) {
  if (curl_multi_add_handle(handle.multi.get(), handle.easy.get()) != CURLM_OK) return CURLE_FAILED_INIT;
  const std::stop_callback wake(stop, [multi = handle.multi.get()] { curl_multi_wakeup(multi); });
  CURLcode result = CURLE_ABORTED_BY_CALLBACK;
  int running = 1;
  while (running > 0 && !stop.stop_requested()) {
    if (curl_multi_perform(handle.multi.get(), &running) != CURLM_OK) break;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(handle.multi.get(), &left)) {
      if (message->msg == CURLMSG_DONE) result = message->data.result;
    }
    if (running > 0 && curl_multi_poll(handle.multi.get(), nullptr, 0, 60'000, nullptr) != CURLM_OK) break;
  }
  curl_multi_remove_handle(handle.multi.get(), handle.easy.get());
  return result;
}

}  // namespace

struct HttpClient::Impl {
  explicit Impl(ClientOptions o) : options(std::move(o)) {
    // Once a process; safe to repeat. libcurl 7.84 and later do it under a lock of their own.
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!options.connect_to.empty()) connect_to.reset(curl_slist_append(nullptr, ("::" + options.connect_to).c_str()));
  }
  ~Impl() {
    idle.clear();
    curl_global_cleanup();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::unique_ptr<Handle> take();
  void give_back(std::unique_ptr<Handle> handle);
  void set_up(Handle& handle, const ClientRequest& request, const std::string& url) const;
  Result<ClientResponse> run(const ClientRequest& request, const OnData* on_data);

  const ClientOptions options;
  std::unique_ptr<curl_slist, ListDelete> connect_to;
  std::mutex mutex;
  std::vector<std::unique_ptr<Handle>> idle;
};

std::unique_ptr<Handle> HttpClient::Impl::take() {
  {
    const std::lock_guard lock(mutex);
    if (!idle.empty()) {
      auto handle = std::move(idle.back());
      idle.pop_back();
      return handle;
    }
  }
  return std::make_unique<Handle>();
}

void HttpClient::Impl::give_back(std::unique_ptr<Handle> handle) {
  const std::lock_guard lock(mutex);
  if (idle.size() < options.kept_connections) idle.push_back(std::move(handle));
}

void HttpClient::Impl::set_up(Handle& handle, const ClientRequest& request, const std::string& url) const {
  CURL* easy = handle.easy.get();
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.value_or(options.timeout).count()));
  if (options.stall_timeout.count() > 0) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.stall_timeout).count();
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(seconds));
  }
  if (!options.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // where libcurl looks for the system's besides
  }
  if (!options.certificate_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, options.certificate_file.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, options.key_file.c_str());
  }
  if (connect_to) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to.get());
  if (options.peer_timeout.count() > 0) {
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, &watch_peer);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, &options.peer_timeout);
  }
  if (options.network_namespace >= 0) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &options.network_namespace);
  }
  if (options.proxy == ProxyUse::kNone) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (!options.unix_socket.empty()) {
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }
  if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

Result<ClientResponse> HttpClient::Impl::run(const ClientRequest& request, const OnData* on_data) {
  const std::string url = options.base_url + request.target;
  const std::string doing =
      fmt::format("{} {}", request.method,
                  options.unix_socket.empty() ? url : fmt::format("{} at {}", request.target, options.unix_socket));
  if (has_line_end(request.headers) || request.target.find_first_of("\r\n ") != std::string::npos) {
    return make_error(ErrorCode::kInvalidArgument, doing + ": line end or space in target or header");
  }
  std::unique_ptr<Handle> handle = take();
  if (!handle->easy || !handle->multi) return make_error(ErrorCode::kIo, doing + ": out of memory for a handle");
  Transfer transfer{.on_data = on_data, .max_bytes = options.max_response_bytes, .easy = handle->easy.get()};
  std::array<char, CURL_ERROR_SIZE> detail{};
  set_up(*handle, request, url);
  Headers own = request.headers;
  if (!request.body.empty() && own.find("Content-Type") == nullptr) own.add("Content-Type", "application/json");
  if (request.body.empty() && own.find("Content-Type") == nullptr) own.add("Content-Type", "");
  const auto headers = header_list(options.headers, own);
  curl_easy_setopt(transfer.easy, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(transfer.easy, CURLOPT_ERRORBUFFER, detail.data());
  curl_easy_setopt(transfer.easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(transfer.easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(transfer.easy, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(transfer.easy, CURLOPT_HEADERDATA, &transfer);
  const CURLcode code = perform(*handle, request.stop);
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  long os_error = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_OS_ERRNO, &os_error);
  curl_easy_reset(transfer.easy);  // nothing of this call may be pointed to any more
  give_back(std::move(handle));
  if (transfer.enough || code == CURLE_OK) return std::move(transfer.response);
  if (transfer.too_large) {
    return make_error(ErrorCode::kTooLarge,
                      fmt::format("{}: the answer is larger than {}", doing, format_size(options.max_response_bytes)));
  }
  if (request.stop.stop_requested()) return make_error(ErrorCode::kAborted, doing + ": given up");
  // Of a unix socket libcurl says "localhost port 80".
  const bool socket_failed = code == CURLE_COULDNT_CONNECT && !options.unix_socket.empty() && os_error != 0;
  return curl_error(code, socket_failed ? ::strerrordesc_np(static_cast<int>(os_error)) : detail.data(), doing);
}

HttpClient::HttpClient(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<ClientResponse> HttpClient::send(const ClientRequest& request) { return impl_->run(request, nullptr); }

Result<ClientResponse> HttpClient::stream(const ClientRequest& request, const OnData& on_data) {
  return impl_->run(request, &on_data);
}

Status expect_success(const ClientResponse& response, std::string_view doing) {
  if (response.status < 400) return ok_status();
  const auto document = parse_json_object(response.body, "error document");
  if (!document.ok()) {
    return make_error(code_of_status(response.status),
                      fmt::format("{}: HTTP status {} {}", doing, response.status, status_phrase(response.status)));
  }
  if (document->contains("code")) return error_from_json(*document).with_context(doing);
  Error error = make_error(code_of_status(response.status), json_string_or(*document, "detail", "no detail given"),
                           json_string_or(*document, "hint", ""));
  constexpr std::string_view kPrefix = "urn:cacs:problem:";
  const std::string type = json_string_or(*document, "type", "");
  if (type.starts_with(kPrefix)) {
    error.type = type.substr(kPrefix.size());
    if (const ErrorCode exact = error_code_from_name(error.type); error_code_name(exact) == error.type)
      error.code = exact;
  }
  return error.with_context(doing);
}

}  // namespace cacs::net
