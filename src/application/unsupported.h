#pragma once

#include "application/asr.h"
#include "base/result.h"

namespace cacs::application {

/// The one list of what an ASR may say but this build cannot do yet. It is refused (kUnsupported, type "unsupported")
/// rather than ignored: an application must never run under other terms than those it was submitted with. Later issues
/// only take entries off this list.
Status refuse_unsupported(const Asr& asr);

/// What a server can do that depends on how it was started.
struct Offers {
  bool remote_level = false;  ///< there is a remote level for checkpoints
};
/// The same for what this server does not offer.
Status refuse_unoffered(const Asr& asr, const Offers& offers);

}  // namespace cacs::application
