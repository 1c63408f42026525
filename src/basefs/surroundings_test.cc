#include "basefs/surroundings.h"

#include "basefs/test_support.h"

namespace cacs::basefs {
namespace {

TEST(Surroundings, OfAFileDependOnWhereItLies) {
  const std::filesystem::path base = "/nowhere";
  const auto of = [&](const char* path) { return surroundings_of_file(base, path); };
  EXPECT_EQ(of("/usr/lib/x86_64-linux-gnu/libm.so.6"), std::nullopt);
  EXPECT_EQ(of("/etc/passwd"), std::nullopt);
  EXPECT_EQ(of("/usr/bin/tool.py"), std::nullopt);
  EXPECT_EQ(of("/usr/lib/python3.11/os.py"), (Surroundings{"/usr/lib/python3.11", true}));
  EXPECT_EQ(of("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc"), (Surroundings{"/usr/lib/python3.11", true}));
  EXPECT_EQ(of("/opt/app/data/table.csv"), (Surroundings{"/opt/app/data", true}));
  EXPECT_EQ(of("/tmp/script.py"), (Surroundings{"/tmp", false}));
  EXPECT_EQ(of("/home/user/x.dat"), (Surroundings{"/home/user", false}));
  EXPECT_EQ(of("/var/lib/x.dat"), (Surroundings{"/var/lib", false}));
}

TEST(Surroundings, OfAModuleAreTheTreeThatItsPackageLiesIn) {
  const TestDirectory base;
  write_text(base.path() / "opt/site/pkg/__init__.py", "");
  write_text(base.path() / "opt/site/pkg/sub/__init__.py", "");
  EXPECT_EQ(surroundings_of_file(base.path(), "/opt/site/pkg/sub/m.py"), (Surroundings{"/opt/site", true}));
  write_text(base.path() / "usr/share/tool/a.py", "");
  EXPECT_EQ(surroundings_of_directory(base.path(), "/usr/share/tool"), (Surroundings{"/usr/share/tool", false}));
  write_text(base.path() / "usr/lib/python3/dist-packages/numbers/__init__.py", "");
  EXPECT_EQ(surroundings_of_file(base.path(), "/usr/lib/python3/dist-packages/numbers/a.py"),
            (Surroundings{"/usr/lib/python3/dist-packages/numbers", true}));
  EXPECT_EQ(surroundings_of_file(base.path(), "/usr/lib/python3/dist-packages/single.py"),
            (Surroundings{"/usr/lib/python3/dist-packages", false}));
  EXPECT_EQ(surroundings_of_directory(base.path(), "/usr/share/none"), std::nullopt);
  EXPECT_EQ(surroundings_of_directory(base.path(), "/tmp"), std::nullopt);
}

TEST(Surroundings, AreWalkedWithinTheirBounds) {
  const TestDirectory base;
  for (const char* name : {"a", "sub/b", ".hidden", ".git/c", "state/d"}) write_text(base.path() / "app" / name, "x");
  std::filesystem::create_symlink("a", base.path() / "app/link");
  std::vector<std::string> seen;
  const auto visit = [&](const std::string& path) {
    seen.push_back(path);
    return true;
  };
  walk(base.path(), {"/app", true}, {"/app/state"}, visit);
  EXPECT_EQ(seen, (std::vector<std::string>{"/app/a", "/app/link", "/app/sub/b"}));
  seen.clear();
  walk(base.path(), {"/app", false}, {}, visit);
  EXPECT_EQ(seen, (std::vector<std::string>{"/app/a", "/app/link"}));
  seen.clear();
  walk(base.path(), {"/app", true}, {}, [&](const std::string& path) { return visit(path) && seen.size() < 2; });
  EXPECT_EQ(seen.size(), 2U);
}

}  // namespace
}  // namespace cacs::basefs
