-- part unique: names of which one live task can have each (docs/decisions/0044). UNIQUES says which entry has a name, NAMED
-- and UNSTARTED the reverse: of those that keep it until they end, and of those that keep it until they are handed over.
-- A name counts only while its entry is alive, so that nothing that ends a task can leave it taken.
local function name_of(h) return h.unique and limited_type(h.type) .. ' ' .. h.unique end

local function holder_of(name)
  local entry = name and redis.call('HGET', UNIQUES, name)
  if entry and redis.call('HEXISTS', TASKS, entry) == 1 then return entry end
end

local function take_name(name, entry, h)
  redis.call('HSET', UNIQUES, name, entry)
  redis.call('HSET', h.unique_until == 'start' and UNSTARTED or NAMED, entry, name)
end

local function free_name(entry, place)
  local name = redis.call('HGET', place, entry)
  if not name then return end
  redis.call('HDEL', place, entry)
  if redis.call('HGET', UNIQUES, name) == entry then redis.call('HDEL', UNIQUES, name) end
end

-- For a dead one that lives again, or one that a schedule makes: its name, if nobody else has it.
local function retake_name(entry, h)
  local name = name_of(h)
  if name and h.unique_until ~= 'time' and not holder_of(name) then take_name(name, entry, h) end
end
