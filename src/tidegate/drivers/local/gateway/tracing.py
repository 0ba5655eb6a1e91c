"""How a trace begins: a W3C `traceparent` is passed on as it is, and a request without a valid one gets one.

Envoy's own tracers all demand an exporter, and put a span of their own, which nobody would ever see, between
caller and callee. This is the small part of them that is wanted here.
"""

from __future__ import annotations

METADATA = "tidegate"
"""The name under which listeners, routes and this script leave what the access log writes."""

BEGIN_TRACE = f"""
local source = io.open("/dev/urandom", "rb")
local seed = 0
for _, byte in ipairs({{source:read(6):byte(1, 6)}}) do seed = seed * 256 + byte end
source:close()
math.randomseed(seed)

local VALID = "^%x%x%-(" .. ("%x"):rep(32) .. ")%-" .. ("%x"):rep(16) .. "%-%x%x"

local function word() return math.random(0, 2^31 - 1) end

function envoy_on_request(handle)
  local headers = handle:headers()
  local parent = headers:get("traceparent")
  local trace = parent and parent:match(VALID)
  if not trace then
    trace = string.format("%08x%08x%08x%08x", word(), word(), word(), 1 + word())
    headers:replace("traceparent", string.format("00-%s-%08x%08x-01", trace, word(), 1 + word()))
  end
  handle:streamInfo():dynamicMetadata():set("{METADATA}", "trace", trace)
end
"""
