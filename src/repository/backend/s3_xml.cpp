#include "repository/backend/s3_xml.h"

#include <expat.h>

#include <memory>

namespace cacs::repository {

namespace {

struct ParserDelete {
  void operator()(XML_Parser parser) const { XML_ParserFree(parser); }
};
using Parser = std::unique_ptr<std::remove_pointer_t<XML_Parser>, ParserDelete>;

/// What expat's callbacks build. `open` is the path from the root to the current element: pointers stay valid, as only
/// the last element's children grow.
struct Builder {
  XML_Parser parser = nullptr;
  const XmlLimits& limits;
  XmlElement root;
  std::vector<XmlElement*> open;
  std::size_t elements = 0;
  std::string refused;  ///< why parsing was stopped

  void refuse(std::string why) {
    refused = std::move(why);
    XML_StopParser(parser, XML_FALSE);
  }
};

std::string_view local_name(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

// expat calls none of these again once a parser was stopped, but for what it is in the middle of: hence the checks.
void on_start(void* user, const XML_Char* name, const XML_Char** /*attributes*/) {
  auto& builder = *static_cast<Builder*>(user);
  if (!builder.refused.empty()) return;
  if (++builder.elements > builder.limits.elements) return builder.refuse("it has too many elements");
  if (builder.open.size() >= builder.limits.depth) return builder.refuse("it is nested too deeply");
  XmlElement* element = &builder.root;
  if (!builder.open.empty()) element = &builder.open.back()->children.emplace_back();
  element->name = local_name(name);
  builder.open.push_back(element);
}

void on_end(void* user, const XML_Char* /*name*/) {
  auto& builder = *static_cast<Builder*>(user);
  if (builder.refused.empty()) builder.open.pop_back();
}

void on_text(void* user, const XML_Char* text, int length) {
  auto& builder = *static_cast<Builder*>(user);
  if (builder.refused.empty() && !builder.open.empty()) {
    builder.open.back()->text.append(text, static_cast<std::size_t>(length));
  }
}

void on_doctype(void* user, const XML_Char* /*name*/, const XML_Char* /*system*/, const XML_Char* /*public_id*/,
                int /*has_internal_subset*/) {
  static_cast<Builder*>(user)->refuse("it declares a document type");
}

}  // namespace

const XmlElement* XmlElement::find(std::string_view child) const {
  for (const auto& element : children) {
    if (element.name == child) return &element;
  }
  return nullptr;
}

std::string_view XmlElement::text_of(std::string_view child) const {
  const XmlElement* element = find(child);
  return element == nullptr ? std::string_view() : std::string_view(element->text);
}

Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits) {
  const auto bad = [](std::string_view why) {
    return make_error(ErrorCode::kInvalidArgument, "not an XML document that S3 would send: " + std::string(why));
  };
  if (text.size() > limits.bytes) return bad("it is too long");
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const Parser parser(XML_ParserCreate(nullptr));
  if (!parser) return make_error(ErrorCode::kIo, "no memory for an XML parser");
  Builder builder{.parser = parser.get(), .limits = limits, .root = {}, .open = {}, .refused = {}};
  XML_SetUserData(parser.get(), &builder);
  XML_SetElementHandler(parser.get(), &on_start, &on_end);
  XML_SetCharacterDataHandler(parser.get(), &on_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), &on_doctype);
  const auto status = XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE);
  if (!builder.refused.empty()) return bad(builder.refused);
  if (status != XML_STATUS_OK) return bad(XML_ErrorString(XML_GetErrorCode(parser.get())));
  return std::move(builder.root);
}

std::string xml_escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace cacs::repository
