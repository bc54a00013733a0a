-- override: (moves no task)
-- Sets limits of a type that win over the declared ones, or clears them. What waits for a time of the old ones looks again:
-- the type at once, its keys by look_again.lua.
-- KEYS prefix
-- ARGV type, limits (a msgpack map as in parts/override.lua; "" clears), who, a token of this call
-- returns {"set" | "cleared" | "none": there was nothing to clear, then priority and lane by turns of what has to look again}
-- uses clock head limit wake flow lanes override arrange again
local type, wanted = ARGV[1], ARGV[2]
local found, limit = override_of(type), read_limit(type)
local is_again = was_told('override', ARGV[4])
if wanted == '' and not found and not is_again then return {'none'} end
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so

local function change()
  found = found or {declared = {rate = limit and limit.declared or '', flow = redis.call('HGET', FLOWS, type) or ''}}
  local rate, flow = found.declared.rate, found.declared.flow
  if wanted == '' then
    redis.call('HDEL', OVERRIDES, type)
  else
    for name, value in pairs(cmsgpack.unpack(wanted)) do found[name] = value end
    found.by, found.at = ARGV[3], now
    write_override(type, found)
    rate, flow = overridden(found, rate, flow)
  end
  if rate == '' then
    redis.call('HDEL', LIMITS, type)
  elseif not limit or limit.declared ~= rate then
    write_limit(type, {declared = rate, tat = limit and limit.tat or 0})
    read_limit(type) -- what the old limit has taken in advance counts for no more than the new one's burst
  end
  if flow == '' then redis.call('HDEL', FLOWS, type) else redis.call('HSET', FLOWS, type, flow) end
  note_call('override', ARGV[4])
  arrange(type)
end

if not is_again then change() end
local reply = {wanted == '' and 'cleared' or 'set'}
for lane in pairs(lanes_of(type)) do
  if redis.call('HGET', LANES, lane) == 'flow' then
    flows().reconsider(lane)
    for _, level in ipairs(LEVELS) do
      if redis.call('EXISTS', BLOCKED .. level .. ':' .. lane) == 1 then reply[#reply + 1], reply[#reply + 2] = level, lane end
    end
  end
end
mark()
return reply
