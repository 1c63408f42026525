#include "pod/mpi.h"

#include <gtest/gtest.h>

namespace cacs::pod {
namespace {

PodSpec job(int pods) {
  PodSpec spec;
  spec.pod = "pod-0";
  for (int i = 0; pods > 1 && i < pods; ++i) {
    spec.hosts.push_back({"pod-" + std::to_string(i), "10.77.0." + std::to_string(i + 1)});
  }
  return spec;
}

TEST(Mpi, ListsEveryPodWithAsManySlotsAsItHasProcessors) {
  PodSpec spec = job(3);
  spec.cpus = 1.5;
  const auto files = mpi_files(spec);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].content, "pod-0 slots=2\npod-1 slots=2\npod-2 slots=2\n");
  EXPECT_EQ(files[1].content, "pod-0:2\npod-1:2\npod-2:2\n");
  const auto env = mpi_environment(spec);
  EXPECT_EQ(env.at("OMPI_MCA_orte_default_hostfile"), files[0].path);
  EXPECT_EQ(env.at("HYDRA_HOST_FILE"), files[1].path);
  EXPECT_EQ(env.at("OMPI_MCA_plm_rsh_agent"), env.at("HYDRA_LAUNCHER_EXEC"));
}

TEST(Mpi, APodByItselfNeedsNoLauncher) {
  const PodSpec spec = job(1);
  EXPECT_EQ(mpi_files(spec)[0].content, "pod-0 slots=1\n");
  const auto env = mpi_environment(spec);
  EXPECT_FALSE(env.contains("OMPI_MCA_plm_rsh_agent"));
  EXPECT_TRUE(env.contains("OMPI_ALLOW_RUN_AS_ROOT"));
}

}  // namespace
}  // namespace cacs::pod
