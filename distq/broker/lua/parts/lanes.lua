-- part lanes: their kinds, as LANES has them: "limited"; "flow", of a type that has several (parts/flow.lua); "apart <digest>", of a type for which this group of workers wants
-- one; "parked <ms>", of a type that nobody knew. The first two are kept when they are empty.
local function is_kept_lane(kind) return kind == 'limited' or kind == 'flow' or (kind and string.sub(kind, 1, 6) == 'apart ') end

-- A lane that is empty is forgotten.
local function leave_empty_lane(level, lane)
  if redis.call('HGET', LANES, lane) == 'flow' then return end -- it comes and goes by itself
  if redis.call('EXISTS', LANE .. level .. ':' .. lane) == 1 then return end
  redis.call('SREM', LANES_AT .. level, lane)
  if not is_kept_lane(redis.call('HGET', LANES, lane)) and redis.call('EXISTS', LANE .. 'high:' .. lane,
      LANE .. 'default:' .. lane, LANE .. 'low:' .. lane) == 0 then
    redis.call('HDEL', LANES, lane)
    lost_a_lane = true
  end
end

-- Types that have lanes since a group of workers wants them. Releases that know no such lanes forget
-- them when they are empty, so this is said again with each renewal.
local function set_apart(types, digest)
  local kind = 'apart ' .. digest
  for i, found in ipairs(redis.call('HMGET', LANES, unpack(types))) do
    if found ~= 'limited' and found ~= 'flow' and found ~= kind then redis.call('HSET', LANES, types[i], kind) end
  end
  redis.call('HSET', META, 'apart', 1)
end

-- Each type of which a worker takes only some at a time is a group of its own, and so has a marker of its own.
local function announce_shares(shares, lease)
  for _, share in ipairs(shares) do
    local group, is_apart, types = unpack(share)
    redis.call('SADD', TYPES .. group, unpack(types))
    redis.call('PEXPIRE', TYPES .. group, lease * 4)
    redis.call('SADD', GROUPS, group)
    if is_apart then set_apart(types, group) end
  end
end

-- That group is gone: its lanes end when they are empty.
local function forget_apart(digest)
  if redis.call('HEXISTS', META, 'apart') == 0 then return end
  local lanes, has_others = redis.call('HGETALL', LANES), false
  for i = 1, #lanes, 2 do
    if lanes[i + 1] == 'apart ' .. digest then
      redis.call('HSET', LANES, lanes[i], 'parked 86400000')
      for _, level in ipairs(LEVELS) do leave_empty_lane(level, lanes[i]) end
    elseif string.sub(lanes[i + 1], 1, 6) == 'apart ' then
      has_others = true
    end
  end
  if not has_others then redis.call('HDEL', META, 'apart') end
end
