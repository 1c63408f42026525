#include "repository/keys/key_source.h"

#include <fcntl.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): posix_openpt
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "base/uuid.h"
#include "repository/keys/key_file.h"
#include "repository/keys/prompt.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

template <typename T>
void expect_refused(const Result<T>& result, ErrorCode code) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
}

std::string text_of(const Credential& credential) {
  const auto bytes = std::get<Passphrase>(credential).bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class WithDirectory : public ::testing::Test {
 protected:
  WithDirectory() { std::filesystem::create_directories(dir_); }
  ~WithDirectory() override { std::filesystem::remove_all(dir_); }
  std::filesystem::path file(const std::string& name, std::string_view text, mode_t mode = 0600) {
    const std::filesystem::path path = dir_ / name;
    EXPECT_TRUE(write_file_durably(path, text).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("cacs-keys-" + new_uuid());
};

using KeyFile = WithDirectory;
using Sources = WithDirectory;

const std::string kKeyText =
    "cacs key file 1\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n4bf10923984c360d\n";

TEST_F(KeyFile, text_is_that_of_the_document) {
  const Bytes bytes = counting(32, 0);
  const SecretKey key{std::span(bytes).first<32>()};
  EXPECT_EQ(format_key_file(key).text(), kKeyText);
  ASSERT_OK(parse_key_file(kKeyText, "x"));
  EXPECT_TRUE(*parse_key_file(kKeyText, "x") == key);
  EXPECT_TRUE(*parse_key_file(kKeyText.substr(0, kKeyText.size() - 1), "x") == key);
}

TEST_F(KeyFile, every_changed_byte_and_every_other_length_is_refused) {
  for (std::size_t bit = 0; bit < kKeyText.size() * 8; ++bit) {
    const Bytes bytes = flipped(as_bytes(kKeyText), bit);
    const auto parsed = parse_key_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "x");
    ASSERT_FALSE(parsed.ok()) << bit;
    EXPECT_TRUE(parsed.error().code == ErrorCode::kCorrupt || parsed.error().code == ErrorCode::kUnsupported);
    EXPECT_EQ(parsed.error().to_string().find("1a1b1c"), std::string::npos) << "errors show nothing of the key";
  }
  for (std::size_t size = 0; size + 1 < kKeyText.size(); ++size)
    expect_refused(parse_key_file(kKeyText.substr(0, size), "x"),
                   size == 14 ? ErrorCode::kUnsupported : ErrorCode::kCorrupt);
  expect_refused(parse_key_file(kKeyText + "\n", "x"), ErrorCode::kCorrupt);
  expect_refused(parse_key_file("cacs key file 2\n", "x"), ErrorCode::kUnsupported);
}

TEST_F(KeyFile, is_made_once_for_its_owner_and_read_again) {
  const auto path = dir_ / "key";
  const SecretKey key = SecretKey::random();
  ASSERT_OK(create_key_file(path, key));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  EXPECT_TRUE(*read_key_file(path) == key);
  expect_refused(create_key_file(path, SecretKey::random()), ErrorCode::kConflict);
  EXPECT_TRUE(*read_key_file(path) == key);
  ASSERT_EQ(::symlink("elsewhere", (dir_ / "link").c_str()), 0);
  EXPECT_FALSE(create_key_file(dir_ / "link", key).ok());
  EXPECT_FALSE(std::filesystem::exists(dir_ / "elsewhere"));
  expect_refused(create_key_file(dir_ / "none" / "key", key), ErrorCode::kNotFound);
}

TEST_F(KeyFile, is_refused_when_others_may_touch_it) {
  for (const mode_t mode : {0640U, 0620U, 0610U, 0604U, 0602U, 0601U, 0644U, 0666U})
    expect_refused(read_key_file(file("open", kKeyText, mode)), ErrorCode::kPermission);
  for (const mode_t mode : {0600U, 0400U, 0700U}) ASSERT_OK(read_key_file(file("tight", kKeyText, mode)));
  expect_refused(read_key_file(dir_), ErrorCode::kPermission);
  expect_refused(read_key_file(dir_ / "none"), ErrorCode::kNotFound);
  expect_refused(read_key_file(file("long", kKeyText + std::string(kMaxKeyFileBytes, ' '))), ErrorCode::kTooLarge);
  if (::geteuid() == 0) {
    const auto path = file("foreign", kKeyText);
    ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
    expect_refused(read_key_file(path), ErrorCode::kPermission);
  }
}

TEST(Passphrase, is_bounded_text) {
  expect_refused(Passphrase::from(""), ErrorCode::kInvalidArgument);
  expect_refused(Passphrase::from(std::string(1025, 'x')), ErrorCode::kInvalidArgument);
  expect_refused(Passphrase::from(std::string_view("a\0b", 3)), ErrorCode::kInvalidArgument);
  ASSERT_OK(Passphrase::from(std::string(1024, 'x')));
  EXPECT_EQ(text_of(*Passphrase::from(" spaces stay ")), " spaces stay ");
}

TEST(SecretBytes, moves_leave_nothing_behind) {
  SecretBytes bytes(to_bytes("secret"));
  SecretBytes other = std::move(bytes);
  EXPECT_TRUE(bytes.bytes().empty());  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(other.text(), "secret");
  const SecretBytes copy(to_bytes("x"));
  other = copy;
  EXPECT_EQ(other.text(), "x");
  EXPECT_EQ(copy.text(), "x");
}

Result<Credential> got(const KeySource& source) { return get_credential(source, Asking::kToUnlock, "? "); }

TEST_F(Sources, a_variable_a_file_and_a_key_file) {
  EXPECT_EQ(text_of(*got(KeyFromVariable{"words \n"})), "words \n");
  EXPECT_EQ(text_of(*got(KeyFromPassphraseFile{file("a", "words\n")})), "words");
  EXPECT_EQ(text_of(*got(KeyFromPassphraseFile{file("b", "words\r\n")})), "words");
  EXPECT_EQ(text_of(*got(KeyFromPassphraseFile{file("c", " words \n\n")})), " words \n");
  const auto longest = got(KeyFromPassphraseFile{file("d", std::string(1024, 'x') + "\r\n")});
  ASSERT_OK(longest);
  EXPECT_EQ(text_of(*longest).size(), 1024U);
  expect_refused(got(KeyFromPassphraseFile{file("e", std::string(1027, 'x'))}), ErrorCode::kTooLarge);
  expect_refused(got(KeyFromPassphraseFile{file("f", "\n")}), ErrorCode::kInvalidArgument);
  expect_refused(got(KeyFromPassphraseFile{file("g", "words\n", 0644)}), ErrorCode::kPermission);
  const auto key = got(KeyFromKeyFile{file("key", kKeyText)});
  ASSERT_OK(key);
  EXPECT_EQ(to_hex(std::get<SecretKey>(*key).bytes()), to_hex(counting(32, 0)));
}

TEST_F(Sources, a_command_by_its_words) {
  EXPECT_EQ(text_of(*got(KeyFromCommand{{"printf", "%s\\n", "a $HOME `b`"}})), "a $HOME `b`");
  expect_refused(got(KeyFromCommand{{"false"}}), ErrorCode::kUnavailable);
  expect_refused(got(KeyFromCommand{{"true"}}), ErrorCode::kInvalidArgument);
  expect_refused(got(KeyFromCommand{{"head", "-c", "2000", "/dev/zero"}}), ErrorCode::kTooLarge);
  expect_refused(got(KeyFromCommand{{"/nonexistent/program"}}), ErrorCode::kNotFound);
  expect_refused(got(KeyFromCommand{}), ErrorCode::kInvalidArgument);
  const auto failed = got(KeyFromCommand{{"ls", "/nonexistent/thing"}});
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find("/nonexistent/thing"), std::string::npos) << "what the command said is told";
}

TEST_F(Sources, a_command_does_not_inherit_the_passphrase) {
  ASSERT_EQ(::setenv("CACS_PASSPHRASE", "hidden words", 1), 0);  // NOLINT(concurrency-mt-unsafe): one thread
  const auto environment = got(KeyFromCommand{{"sh", "-c", "printf '%s' \"[$CACS_PASSPHRASE][${PATH:+path}]\""}});
  EXPECT_EQ(KeyEnvironment::of_process().passphrase, "hidden words");
  ASSERT_EQ(::unsetenv("CACS_PASSPHRASE"), 0);  // NOLINT(concurrency-mt-unsafe)
  ASSERT_OK(environment);
  EXPECT_EQ(text_of(*environment), "[][path]");
}

TEST_F(Sources, the_environment_names_one) {
  EXPECT_TRUE(std::holds_alternative<KeyFromTerminal>(*key_source_from({})));
  EXPECT_EQ(std::get<KeyFromVariable>(*key_source_from({.passphrase = "p"})).text, "p");
  EXPECT_EQ(std::get<KeyFromPassphraseFile>(*key_source_from({.passphrase_file = "/p"})).path, "/p");
  EXPECT_EQ(std::get<KeyFromKeyFile>(*key_source_from({.key_file = "/k"})).path, "/k");
  EXPECT_EQ(std::get<KeyFromCommand>(*key_source_from({.passphrase_command = "pass show x"})).argv,
            (std::vector<std::string>{"pass", "show", "x"}));
  expect_refused(key_source_from({.passphrase = "p", .key_file = "/k"}), ErrorCode::kInvalidArgument);
  expect_refused(key_source_from({.passphrase_command = " "}), ErrorCode::kInvalidArgument);
}

TEST_F(Sources, words_of_a_command) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(*parse_command_words("  a  b\n"), (Words{"a", "b"}));
  EXPECT_EQ(*parse_command_words("a '$b;' \"c\""), (Words{"a", "'$b;'", "\"c\""}));
  EXPECT_EQ(*parse_command_words(R"( ["a b", "", "c"] )"), (Words{"a b", "", "c"}));
  for (const char* bad : {"", " \n", "[", "[]", "[1]", R"([""])", R"(["a",)"})
    expect_refused(parse_command_words(bad), ErrorCode::kInvalidArgument);
}

/// A terminal whose other side the test holds.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(master_.get()), 0);
    EXPECT_EQ(::unlockpt(master_.get()), 0);
    std::array<char, 128> name{};
    EXPECT_EQ(::ptsname_r(master_.get(), name.data(), name.size()), 0);
    path_ = name.data();
    // Kept open, so that its settings outlive the prompt and can be looked at.
    slave_.reset(::open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  }
  /// Waits for the question, so that what is typed is not thrown away with what was typed too early.
  void expect(std::string_view text) {
    while (seen_.find(text) == std::string::npos) {
      std::array<char, 256> block{};
      const ssize_t count = ::read(master_.get(), block.data(), block.size());
      if (count <= 0) return;
      seen_.append(block.data(), static_cast<std::size_t>(count));
    }
    seen_.erase(0, seen_.find(text) + text.size());
  }
  void type(std::string_view keys) { EXPECT_TRUE(write_full(master_.get(), keys).ok()); }
  [[nodiscard]] bool echoes() const {
    termios settings{};
    EXPECT_EQ(::tcgetattr(slave_.get(), &settings), 0);
    return (settings.c_lflag & ECHO) != 0 && (settings.c_lflag & ICANON) != 0;
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& seen() const { return seen_; }

 private:
  UniqueFd master_;
  UniqueFd slave_;
  std::string path_;
  std::string seen_;
};

Result<Passphrase> typed(Terminal& terminal, std::string_view keys) {
  std::thread person([&] {
    terminal.expect("words? ");
    EXPECT_FALSE(terminal.echoes());
    terminal.type(keys);
    terminal.expect("\n");
  });
  auto passphrase = ask({.question = "words? ", .again = "", .terminal = terminal.path()});
  person.join();
  EXPECT_TRUE(terminal.echoes()) << "the terminal is as it was";
  return passphrase;
}

TEST(Prompt, takes_a_line_without_showing_it) {
  Terminal terminal;
  const auto passphrase = typed(terminal, "open sesame\r");
  ASSERT_OK(passphrase);
  EXPECT_EQ(text_of(*passphrase), "open sesame");
  EXPECT_EQ(terminal.seen().find("sesame"), std::string::npos);
}

TEST(Prompt, keys_that_mend) {
  Terminal terminal;
  EXPECT_EQ(text_of(*typed(terminal, "wrong\x15opem\x7fn \xc3\xa9\xc3\xa8\x08sesame\n")), "open \xc3\xa9sesame");
  EXPECT_EQ(text_of(*typed(terminal, "\x7f\x7fx\n")), "x");
  expect_refused(typed(terminal, "\n"), ErrorCode::kInvalidArgument);
  expect_refused(typed(terminal, std::string(1025, 'x') + "\n"), ErrorCode::kInvalidArgument);
}

TEST(Prompt, gives_up_when_told_so) {
  Terminal terminal;
  expect_refused(typed(terminal, "abc\x03"), ErrorCode::kAborted);
  expect_refused(typed(terminal, "abc\x04"), ErrorCode::kAborted);
}

TEST(Prompt, asks_twice_for_a_new_one) {
  for (const bool same : {true, false}) {
    Terminal terminal;
    std::thread person([&] {
      terminal.expect("new: ");
      terminal.type("open sesame\n");
      terminal.expect("once more: ");
      terminal.type(same ? "open sesame\n" : "open sesami\n");
      terminal.expect("\n");
    });
    const auto credential = get_credential(KeyFromTerminal{terminal.path()}, Asking::kForNew, "new: ");
    person.join();
    if (same) {
      EXPECT_EQ(text_of(*credential), "open sesame");
    } else {
      expect_refused(credential, ErrorCode::kInvalidArgument);
    }
    EXPECT_TRUE(terminal.echoes());
  }
}

TEST(Prompt, a_signal_ends_the_program_only_after_the_terminal_is_as_it_was) {
  Terminal terminal;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    [[maybe_unused]] const auto passphrase = ask({.question = "words? ", .again = "", .terminal = terminal.path()});
    ::_exit(7);
  }
  terminal.expect("words? ");
  EXPECT_FALSE(terminal.echoes());
  ASSERT_EQ(::kill(child, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_TRUE(terminal.echoes());
}

TEST(Prompt, needs_a_terminal) {
  expect_refused(ask({.question = "", .again = "", .terminal = "/dev/null"}), ErrorCode::kNotFound);
  expect_refused(ask({.question = "", .again = "", .terminal = "/nonexistent/tty"}), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cacs::repository
