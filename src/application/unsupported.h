#pragma once

#include "application/asr.h"
#include "base/result.h"

namespace cacs::application {

/// The one list of what an ASR may say but this build cannot do yet. It is refused (kUnsupported, type "unsupported")
/// rather than ignored: an application must never run under other terms than those it was submitted with. Later issues
/// only take entries off this list.
Status refuse_unsupported(const Asr& asr);

}  // namespace cacs::application
