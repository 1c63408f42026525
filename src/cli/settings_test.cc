#include "cli/settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>

#include "base/io.h"

namespace cacs::cli {
namespace {

Environment environment_of(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

class SettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "cacs-settings-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(remove_tree(dir_).ok()); }

  std::filesystem::path write(const std::string& name, std::string_view text) {
    const auto path = dir_ / name;
    EXPECT_TRUE(make_directories(path.parent_path()).ok());
    EXPECT_TRUE(write_file_durably(path, text).ok());
    return path;
  }

  std::filesystem::path dir_;
};

TEST_F(SettingsTest, FlagsStandOverEnvironmentOverFile) {
  write("cacs/config.toml",
        "server = 'unix:/file.sock'\noutput = 'json'\nutc = true\nstate = '/file'\n[run]\ninterval = '1m'\nkeep = 7\n");
  const auto environment = environment_of(
      {{"XDG_CONFIG_HOME", dir_.string()}, {"CACS_SERVER", "unix:/environment.sock"}, {"CACS_OUTPUT", "table"}});
  const Settings settings = load_settings({.server = "unix:/flag.sock"}, environment, std::nullopt).value();
  EXPECT_EQ(settings.server, "unix:/flag.sock");
  EXPECT_EQ(settings.output, OutputFormat::kTable);
  EXPECT_EQ(settings.state, "/file");
  EXPECT_TRUE(settings.state_given);
  EXPECT_TRUE(settings.utc);
  EXPECT_EQ(settings.run_interval, "1m");
  EXPECT_EQ(settings.run_keep, 7);
  EXPECT_EQ(load_settings({}, environment, std::nullopt)->server, "unix:/environment.sock");
}

TEST_F(SettingsTest, Defaults) {
  const Settings settings = load_settings({}, environment_of({{"HOME", dir_.string()}}), std::nullopt).value();
  EXPECT_EQ(settings.server, "");
  EXPECT_EQ(settings.state, dir_ / ".local/state/cacs");
  EXPECT_FALSE(settings.state_given);
  EXPECT_EQ(settings.run_interval, "5m");
  const auto state_home = environment_of({{"HOME", "/h"}, {"XDG_STATE_HOME", "/x"}});
  EXPECT_EQ(merge_settings({}, state_home)->state, "/x/cacs");
}

TEST_F(SettingsTest, AnUnknownKeyNamesTheNearest) {
  const auto wrong = parse_config("sever = 'unix:/x'\n", "config.toml");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(wrong.error().message.find("'sever'"), std::string::npos);
  EXPECT_EQ(wrong.error().hint, "did you mean 'server'?");
  EXPECT_EQ(parse_config("[run]\ninterva = '1m'\n", "c").error().hint, "did you mean 'run.interval'?");
}

TEST_F(SettingsTest, WrongTypesAndBrokenFilesSayWhere) {
  EXPECT_NE(parse_config("server = 3\n", "c").error().message.find("'server' must be a string"), std::string::npos);
  EXPECT_FALSE(parse_config("run.keep = 0\n", "c").ok());
  EXPECT_NE(parse_config("a = 1\nb = = 2\n", "c").error().message.find("line 2"), std::string::npos);
}

TEST_F(SettingsTest, AConfigurationFileThatIsNamedMustBeThere) {
  EXPECT_EQ(load_settings({}, environment_of({}), dir_ / "none.toml").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(load_settings({}, environment_of({}), write("own.toml", "server='unix:/own'"))->server, "unix:/own");
}

TEST_F(SettingsTest, TheTokenComesFromTheStrongestSource) {
  const auto file = write("token", "from-file\nsecond line\n");
  const SettingsLayer weak{.token = "weak"};
  EXPECT_EQ(merge_settings({{.token_file = file.string()}, weak}, environment_of({}))->token, "from-file");
  EXPECT_EQ(merge_settings({{}, weak}, environment_of({}))->token, "weak");
  EXPECT_FALSE(merge_settings({{.token_file = (dir_ / "none").string()}}, environment_of({})).ok());
  EXPECT_FALSE(read_token_file(write("empty", "\n")).ok());
  EXPECT_FALSE(read_token_file(write("odd", "a\rb: c\n")).ok());
}

TEST_F(SettingsTest, ServerAddresses) {
  for (const char* good : {"http://localhost:7070", "http://[::1]:80", "unix:/run/cacs.sock"}) {
    EXPECT_TRUE(check_server_address(good).ok()) << good;
  }
  for (const char* bad : {"localhost:7070", "https://x", "unix:relative", "unix:/", "http://", "http://a/b",
                          "http://a b", "http://user@host"}) {
    EXPECT_FALSE(check_server_address(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace cacs::cli
