// Connections to the outside of an application that chose to have them reset: they go on after a checkpoint, and end
// after a restore, at once and with an error, while those inside carry on byte by byte.

#include "e2e/outside.h"

#include <string>
#include <vector>

#include "base/process.h"
#include "base/text.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

constexpr std::chrono::seconds kLong{180};

class OutsideTest : public ServiceTest {
 protected:
  static JsonObject reset_asr(JsonArray command, int pods = 1) {
    return {{"command", std::move(command)},
            {"pods", pods},
            {"network", JsonObject{{"egress", true}}},
            {"checkpoint", JsonObject{{"external_connections", "reset"}}}};
  }

  std::string story(const std::string& id) { return output(id) + output(id, "stderr"); }

  /// A client of a server outside, beside `inner`, which talks inside; the whole through a checkpoint and a restore.
  void hold_both(const std::string& inner, const std::string& well_under_way, int pods);

  OutsideAddress outside_;
};

/// Answers whatever it is told; when the connection breaks, tells how, and makes another.
const std::string kClient = R"(
import errno, socket, sys
host, port = sys.argv[1].split(':')
def follow(connection):
    while True:
        try:
            data = connection.recv(100)
        except OSError as problem:
            return errno.errorcode[problem.errno]
        if not data:
            return 'end'
        print('got', data.decode(), flush=True)
        connection.sendall(b'echo ' + data)
print('reset:', follow(socket.create_connection((host, int(port)))), flush=True)
again = socket.create_connection((host, int(port)))
again.sendall(b'anew')
print('then:', follow(again), flush=True)
)";

void OutsideTest::hold_both(const std::string& inner, const std::string& well_under_way, int pods) {
  const OutsideServer server;
  const std::string script = inner + " & python3 -c \"$0\" " + server.name() + " && wait";
  const std::string id = submit(reset_asr({"sh", "-c", script, kClient}, pods));
  const UniqueFd first = server.accept();
  ASSERT_TRUE(OutsideServer::send(first, "one"));
  ASSERT_EQ(OutsideServer::receive(first, "echo one"), "echo one");
  ASSERT_TRUE(wait_output(id, well_under_way, kLong)) << story(id);

  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  const std::string text = boost::json::serialize(explained);
  EXPECT_TRUE(json_bool_or(explained, "savable", false)) << text;
  const JsonArray* const warnings = json_find_array(explained, "warnings");
  ASSERT_TRUE(warnings != nullptr && warnings->size() == 1) << text;
  const std::string warning(warnings->front().as_string());
  EXPECT_NE(warning.find(server.name()), std::string::npos) << warning;
  EXPECT_NE(warning.find("python3"), std::string::npos) << warning;
  EXPECT_NE(warning.find("reset after a restore"), std::string::npos) << warning;

  const std::string saved = checkpoint(id);
  // Whoever was saved goes on as if nothing had been.
  ASSERT_TRUE(OutsideServer::send(first, "two"));
  EXPECT_EQ(OutsideServer::receive(first, "echo two"), "echo two");
  ASSERT_TRUE(wait_output(id, "got two\n")) << story(id);

  EXPECT_GE(kill_program(id, "cacs-init"), pods);
  ASSERT_TRUE(wait_output(id, "reset: ", kLong)) << story(id);
  const UniqueFd second = server.accept();
  EXPECT_EQ(OutsideServer::receive(second, "anew"), "anew");
  ASSERT_TRUE(OutsideServer::send(second, "three"));
  EXPECT_EQ(OutsideServer::receive(second, "echo three"), "echo three");
  ASSERT_EQ(::shutdown(second.get(), SHUT_WR), 0);
  wait_state(id, "COMPLETED", kLong);
  const std::string out = output(id);
  EXPECT_NE(out.find("got one\n"), std::string::npos) << out;
  EXPECT_EQ(out.find("got two\n"), std::string::npos) << "it was not rolled back\n" << out;
  EXPECT_NE(out.find("reset: ECONNABORTED\n"), std::string::npos) << out;
  EXPECT_NE(out.find("got three\n"), std::string::npos) << out;
  EXPECT_NE(out.find("then: end\n"), std::string::npos) << out;
  EXPECT_NE(out.find("connect: result ok"), std::string::npos) << story(id);
  EXPECT_NE(out.find("serve: result ok"), std::string::npos) << story(id);
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2) << "it was not restored once";
  EXPECT_EQ(json_string_or(application(id), "restored_from", ""), saved);
}

TEST_F(OutsideTest, IsResetAfterARestoreWhileLoopbackCarriesOn) {
  const std::string stream = program("stream");
  hold_both(stream + " serve 7001 100 & " + stream + " connect 127.0.0.1 7001 100", "connect: 8 MiB\n", 1);
}

TEST_F(OutsideTest, IsResetAfterARestoreWhileTheOtherPodsConnectionCarriesOn) {
  const std::string stream = program("stream");
  hold_both("/.cacs/cacs-rsh pod-1 " + stream + " serve 7001 100 & " + stream + " connect pod-1 7001 100",
            "connect: 8 MiB\n", 2);
}

/// One connection in each state that lasts, each with somebody who waits for it, and says what comes of it.
const std::string kStates = R"(
import errno, select, socket, sys, threading
host, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
def connect(port):
    return socket.create_connection((host, port))
def watched(name, wait):
    def run():
        try:
            print(name, 'came to', wait(), flush=True)
        except OSError as problem:
            print(name, 'reset:', errno.errorcode[problem.errno], flush=True)
    threading.Thread(target=run).start()
    print(name, 'begins', flush=True)
full = connect(ports[0])
watched('full', lambda: full.sendall(bytes(256 << 20)))
closing = connect(ports[1])
closing.shutdown(socket.SHUT_WR)
watched('closing', lambda: closing.recv(1))
closed = connect(ports[2])
def wait_for_an_end(connection):
    assert connection.recv(1) == b''
    print('closed is half-closed', flush=True)
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll()
    raise OSError(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 'polled')
watched('closed', lambda: wait_for_an_end(closed))
calling = socket.socket()
watched('calling', lambda: calling.connect((host, ports[3])))
)";

TEST_F(OutsideTest, WhateverStateItIsIn) {
  const OutsideServer full;
  const OutsideServer closing;
  const OutsideServer closed;
  // Its queue holds one connection, which nobody takes: whoever calls then waits.
  const OutsideServer busy(0);
  const UniqueFd filling(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(filling.get(), reinterpret_cast<const sockaddr*>(&busy.address()), sizeof(sockaddr_in)), 0);
  const std::string id = submit(reset_asr(
      {"python3", "-c", kStates, OutsideAddress::kAddress, full.port(), closing.port(), closed.port(), busy.port()}));
  const UniqueFd unread = full.accept();
  const UniqueFd half = closing.accept();
  EXPECT_EQ(OutsideServer::receive(half, "x"), "") << "no end of the stream";
  const UniqueFd other_half = closed.accept();
  ASSERT_EQ(::shutdown(other_half.get(), SHUT_WR), 0);
  ASSERT_TRUE(wait_output(id, "closed is half-closed\n")) << story(id);
  ASSERT_TRUE(wait_output(id, "calling begins\n")) << story(id);
  checkpoint(id);
  EXPECT_EQ(output(id).find("reset"), std::string::npos) << story(id);
  EXPECT_GE(kill_program(id, "cacs-init"), 1);
  wait_state(id, "COMPLETED");
  const std::string out = output(id);
  for (const std::string name : {"full", "closing", "closed", "calling"}) {
    EXPECT_NE(out.find(name + " reset: ECONNABORTED\n"), std::string::npos) << name << "\n" << story(id);
  }
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2) << "it was not restored once";
}

}  // namespace
}  // namespace cacs::e2e
