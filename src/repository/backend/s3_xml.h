#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// An element of an answer: name without namespace prefix, the text directly in it (also spaces), its children in
/// order. Attributes are not kept: S3's answers say nothing in them.
struct XmlElement {
  std::string name;
  std::string text;
  std::vector<XmlElement> children;

  /// The first child of this name, or null.
  [[nodiscard]] const XmlElement* find(std::string_view child) const;
  /// Text of the first child of this name, or "".
  [[nodiscard]] std::string_view text_of(std::string_view child) const;
};

/// What an answer may have. A page of a listing has 1000 entries of about ten elements.
struct XmlLimits {
  std::size_t bytes = std::size_t{8} << 20U;
  std::size_t elements = 50'000;
  std::size_t depth = 12;
};

/// Parses a document that a server sent. Spaces and line ends before it are skipped: servers send them to keep a
/// connection alive. A document type declaration is refused, so that there are no entities but XML's own five.
/// kInvalidArgument: not well-formed, or over a limit.
Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits = {});

/// `text` as the content of an element.
std::string xml_escape(std::string_view text);

}  // namespace cacs::repository
