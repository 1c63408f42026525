// A simulation with ns-3, as a scientist writes one: a TCP transfer over a lossy link, told every tenth of a simulated
// second, the same on every run.
//
//   network_simulation SECONDS
// prints "t TENTHS received BYTES" and at the end "result BYTES packets dropped N".

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <ns3/applications-module.h>
#include <ns3/core-module.h>
#include <ns3/internet-module.h>
#include <ns3/network-module.h>
#include <ns3/point-to-point-module.h>

namespace {

std::uint64_t g_dropped = 0;

void count_drop(ns3::Ptr<const ns3::Packet> /*packet*/) { ++g_dropped; }

void tell(const ns3::Ptr<ns3::PacketSink>& sink, int tenths) {
  std::printf("t %d received %llu\n", tenths, static_cast<unsigned long long>(sink->GetTotalRx()));
  std::fflush(stdout);
  ns3::Simulator::Schedule(ns3::MilliSeconds(100), &tell, sink, tenths + 1);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10.0;
  ns3::RngSeedManager::SetSeed(7);
  ns3::NodeContainer nodes;
  nodes.Create(2);
  ns3::PointToPointHelper link;
  link.SetDeviceAttribute("DataRate", ns3::StringValue("20Mbps"));
  link.SetChannelAttribute("Delay", ns3::StringValue("5ms"));
  const ns3::NetDeviceContainer devices = link.Install(nodes);
  auto errors = ns3::CreateObject<ns3::RateErrorModel>();
  errors->SetAttribute("ErrorRate", ns3::DoubleValue(1e-7));
  devices.Get(1)->SetAttribute("ReceiveErrorModel", ns3::PointerValue(errors));
  devices.Get(1)->TraceConnectWithoutContext("PhyRxDrop", ns3::MakeCallback(&count_drop));
  ns3::InternetStackHelper stack;
  stack.Install(nodes);
  ns3::Ipv4AddressHelper addresses;
  addresses.SetBase("10.1.1.0", "255.255.255.0");
  const ns3::Ipv4InterfaceContainer interfaces = addresses.Assign(devices);
  ns3::BulkSendHelper source("ns3::TcpSocketFactory", ns3::InetSocketAddress(interfaces.GetAddress(1), 9));
  source.Install(nodes.Get(0)).Start(ns3::Seconds(0));
  ns3::PacketSinkHelper sink("ns3::TcpSocketFactory", ns3::InetSocketAddress(ns3::Ipv4Address::GetAny(), 9));
  const ns3::ApplicationContainer sinks = sink.Install(nodes.Get(1));
  const auto received = ns3::DynamicCast<ns3::PacketSink>(sinks.Get(0));
  ns3::Simulator::Schedule(ns3::MilliSeconds(100), &tell, received, 1);
  ns3::Simulator::Stop(ns3::Seconds(seconds));
  ns3::Simulator::Run();
  std::printf("result %llu packets dropped %llu\n", static_cast<unsigned long long>(received->GetTotalRx()),
              static_cast<unsigned long long>(g_dropped));
  ns3::Simulator::Destroy();
  return 0;
}
