-- part front: how long what is next has waited, in the lists of what could run (docs/guide/metrics.md, "The age of a queue").
local FRONT = 9 -- entries of a list whose ages are compared
local MOST_BYTES = 4194304 -- of messages, in all
local bytes, front_ms = 0, 0

-- The live ones of these entries, as far as there is time for them.
local function messages_of(entries)
  local found = {}
  if #entries == 0 or bytes > MOST_BYTES then return found end
  for _, message in ipairs(redis.call('HMGET', TASKS, unpack(entries))) do
    if message and #message >= HEAD_SIZE then
      found[#found + 1], bytes = message, bytes + #message
    end
  end
  return found
end

-- A delay or a retry counts as well, for a message says when it was made only; so it is the middle one of several, and
-- single ones of that kind do not matter.
local function compare_front(list)
  local since = {}
  for _, message in ipairs(messages_of(redis.call('LRANGE', list, 0, FRONT - 1))) do
    local created = struct.unpack('>d', message)
    if created > 0 and created <= now then since[#since + 1] = created end
  end
  if #since == 0 then return end
  table.sort(since)
  front_ms = math.max(front_ms, now - since[math.ceil(#since / 2)])
end

local function tokens_of(type)
  local interval, burst, tat = string.match(redis.call('HGET', LIMITS, type) or '', '^(%S+) (%S+) (%S+)$')
  if not interval then return math.huge end
  return (tokens({interval = tonumber(interval), burst = tonumber(burst), tat = tonumber(tat)}))
end

local function lane_of_key(at, key) return LANE .. at .. (key == '' and '' or ' ' .. key) end

-- The list whose turn it is, how many may start in all its lists, and its policy; nil: none.
local function next_of_flow(level, flow)
  local at = level .. ':' .. flow
  local key = redis.call('ZRANGE', TURNS .. at, 0, 0)[1]
  if not key or redis.call('HEXISTS', BLOCKED .. at, 'g') == 1 then return nil end
  local type = limited_type((string.gsub(flow, '^v2/', '')))
  local packed = redis.call('HGET', FLOWS, type)
  local policy = packed and cmsgpack.unpack(packed) or {}
  local places = policy.m and math.max(0, policy.m - tonumber(redis.call('HGET', RUNNING, type) or 0)) or math.huge
  local room = math.min(places, tokens_of(type))
  if room > 0 then return lane_of_key(at, key), room, policy end
end
