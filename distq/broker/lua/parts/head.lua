-- part head: the fixed front of a message, the only part that scripts read or write. The body is opaque.
--   created_ms f64 | expires_ms f64 (0 never) | result_ttl_s u32 (2^32-1: not said) | attempt u16 | deliveries u8
--   | version u8 | priority u8 (0 low, 1 default, 2 high) | flags u8 | length u8 + type | body
--   version 2 has, between type and body: length u16 + a msgpack map of what decides when it is handed over (parts/flow.lua):
--   k its key, l the key of its lane if that is another, w its weight, b budgets {{name, key, cost…}, …};
--   and of the name that one task of its type can have (parts/unique.lua): u until it ends, s until it starts, t for a time
--   flags: 1 suspect, 2 has records, 4 … 32 how often it may kill its process (0: as the host says), 64 isolated,
--   128 has a memory
local HEAD = '>ddI4HBBBBB'
local HEAD_SIZE = 27
local SUSPECT = 1
local HAS_RECORDS = 2 -- of attempts or deaths, although it counts none
local ISOLATED = 64 -- a suspect that was lost with its host again, beside others: it runs while its host runs nothing else
local HAS_MEMORY = 128 -- of steps that it has done, or of its progress
local ISOLATION = '!isolated' -- the lane of those; no type is called so
local HELD_BACK = '!suspects' -- as the key of a lane: where suspects of a paused type wait
local PRIORITY = {[0] = 'low', [1] = 'default', [2] = 'high'}
local NOT_SAID = 4294967295
local MOST_NAME = 200 -- bytes
local MOST_USES = 8 -- of budgets, in one message

local function has_flag(h, flag) return math.floor(h.flags / flag) % 2 == 1 end

-- flow: the name under which workers announce that they take it; lane: the list of its own in which it waits, if it does.
-- By its type alone, whatever became of it.
local function lane_of_type(h)
  local flow = (h.version <= 1 or h.is_plain) and h.type or 'v' .. h.version .. '/' .. h.type
  return flow, h.key == '' and flow or flow .. ' ' .. h.key
end

local function name_lane(h)
  h.flow, h.lane = lane_of_type(h)
  if has_flag(h, ISOLATED) then h.flow, h.lane = ISOLATION, ISOLATION end
end

-- A message that has a name and nothing else waits where one of version 1 does.
local function read_name(h, flow)
  for field, till in pairs({u = 'done', s = 'start', t = 'time'}) do
    local name = flow[field]
    if type(name) == 'string' and #name <= MOST_NAME then h.unique, h.unique_until = name, till end
  end
  h.is_plain = h.unique and not flow.k
end

-- Of budgets: all of them, or none if one cannot be.
local function read_uses(uses)
  if type(uses) ~= 'table' or #uses == 0 or #uses > MOST_USES then return nil end
  for _, use in ipairs(uses) do
    if type(use) ~= 'table' or type(use[1]) ~= 'string' or type(use[2]) ~= 'string' then return nil end
    for i = 3, #use do
      if type(use[i]) ~= 'number' or not (use[i] >= 0 and use[i] < math.huge) then return nil end
    end
  end
  return uses
end

-- What a message of version 2 says of its flow; what is hostile in it counts as nothing.
local function read_flow(h, message)
  local at = HEAD_SIZE + h.type_size
  local size = #message >= at + 2 and struct.unpack('>I2', message, at + 1) or 0
  local is_read, flow = pcall(cmsgpack.unpack, string.sub(message, at + 3, at + 2 + size))
  if not is_read or type(flow) ~= 'table' then return end
  if type(flow.k) == 'string' then h.own, h.key = flow.k, flow.k end
  if type(flow.l) == 'string' then h.key = flow.l end
  read_name(h, flow)
  if type(flow.w) == 'number' and flow.w > 0 and flow.w < math.huge then h.weight = flow.w end
  h.budgets = read_uses(flow.b)
end

-- A message too short to have a head reads as zeros: it reaches a worker, which buries it.
local function read_head(message)
  local h = {}
  if #message < HEAD_SIZE then message = message .. string.rep('\0', HEAD_SIZE) end
  h.created, h.expires, h.result_ttl, h.attempt, h.deliveries, h.version, h.priority, h.flags, h.type_size =
    struct.unpack(HEAD, message)
  h.type = string.sub(message, HEAD_SIZE + 1, HEAD_SIZE + h.type_size)
  h.level = PRIORITY[h.priority] or 'default'
  h.own, h.key, h.weight = '', '', 1
  if h.version == 2 then read_flow(h, message) end
  name_lane(h)
  return h
end

local function write_head(h, message)
  return struct.pack(HEAD, h.created, h.expires, h.result_ttl, math.min(h.attempt, 65535),
    math.min(h.deliveries, 255), h.version, h.priority, h.flags, h.type_size) .. string.sub(message, HEAD_SIZE + 1)
end

local function set_flag(h, flag, on)
  if has_flag(h, flag) ~= on then h.flags = h.flags + (on and flag or -flag) end
end

-- Its process lived on: it is no suspect any more.
local function clear_of_suspicion(h)
  set_flag(h, SUSPECT, false)
  set_flag(h, ISOLATED, false)
  name_lane(h)
end

-- How often it may kill its process, as it says itself. 0: nothing; 1: it must never be started twice.
local function own_limit(h) return math.floor(h.flags / 4) % 16 end

local function set_own_limit(h, number) h.flags = h.flags + 4 * (math.min(number, 15) - own_limit(h)) end

local function id_of(entry)
  local space = string.find(entry, ' ', 1, true)
  return space and string.sub(entry, 1, space - 1) or entry
end
