-- part reserve: hands out up to `want` entries and `room` bytes, strictly by priority; within one: suspects (singly and
-- alone in their process), then lanes whose limit allows, then the ready list.
local MAX_EXAMINED = 500
local got, messages, room, examined, alone = {}, {}, 0, 0, 0
local has_deadlines = false

-- A type that got its limit after this entry was enqueued: the entry moves into the lane.
local function moves_to_lane(entry, h)
  if redis.call('HGET', LANES, h.lane) ~= 'limited' then return false end
  make_ready(entry, h, 'RPUSH')
  return true
end

-- An entry whose time is over although nobody has told it: the keeper is dead, or behind.
local function is_over(entry, h)
  if h.expires == 0 or h.expires > now then return false end
  finish(entry, h, 'expired', 'expires')
  return true
end

-- Whether an entry of a list must not be handed over, and is dealt with. Most queues have neither deadlines nor limits.
local function is_kept_back(entry, message, limited)
  if not (limited or has_deadlines) then return false end
  local h = read_head(message)
  return is_over(entry, h) or limited and moves_to_lane(entry, h)
end

-- Takes from one list; skips ghosts; gives back what has no room. Returns how many were handed over.
local function take(list, level, most, limited)
  local before = #got
  local number = before
  while number - before < most and room > 0 and examined < MAX_EXAMINED do
    local entries = redis.call('LPOP', list, math.min(most - (number - before), MAX_EXAMINED - examined))
    if not entries then break end
    examined = examined + #entries
    local bodies = redis.call('HMGET', TASKS, unpack(entries))
    for i, entry in ipairs(entries) do
      local message = bodies[i]
      if not message then
        redis.call('SREM', GHOSTS .. level, entry)
      elseif #message > room and number > 0 then
        for back = #entries, i, -1 do redis.call('LPUSH', list, entries[back]) end
        room = 0
        break
      elseif not is_kept_back(entry, message, limited) then
        number = number + 1
        got[number], messages[number] = entry, message
        room = room - #message
      end
    end
  end
  return number - before
end

local function take_from_lanes(level, want, digest)
  for _, lane in ipairs(redis.call('SINTER', TYPES .. digest, LANES_AT .. level)) do
    if #got < want then
      local list = LANE .. level .. ':' .. lane
      local limit, most = read_limit(lane), want - #got
      if limit then most = math.min(most, (tokens(limit))) end
      if most > 0 then
        local taken = take(list, level, most)
        if limit and taken > 0 then take_tokens(lane, limit, taken) end
      end
      leave_empty_lane(level, lane)
    end
  end
end

-- reserve: fills got, messages and alone.
local function reserve(worker, want, bytes, digest)
  if want < 1 then return end
  room, has_deadlines = bytes, redis.call('EXISTS', DEADLINES) == 1
  local idle = redis.call('LLEN', PROCESSING .. worker) == 0
  local has_lanes, limited = redis.call('HLEN', LANES) > 0, redis.call('HLEN', LIMITS) > 0
  for _, level in ipairs(LEVELS) do
    if idle and redis.call('EXISTS', SUSPECTS .. level) == 1 then
      if #got > 0 then break end
      alone = take(SUSPECTS .. level, level, 1)
      if alone == 1 then break end
    end
    if has_lanes then take_from_lanes(level, want, digest) end
    if #got < want then take(QUEUE .. level, level, want - #got, limited) end
    if #got >= want or room <= 0 then break end
  end
  if #got == 0 then return end
  redis.call('RPUSH', PROCESSING .. worker, unpack(got))
  if has_deadlines then redis.call('ZREM', DEADLINES, unpack(got)) end
end
