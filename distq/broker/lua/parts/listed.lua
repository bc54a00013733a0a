-- part listed: completed tasks of types that declare a history= are kept for people to look at: the last `most`, and no
-- longer than `ms`. DONE of a type: id -> msgpack {when it ended, how long its last attempt took (f64), worker, message}.

-- Its functions are made only for a step that needs them.
local function make_listing(worker)
  local LISTED_BYTES = 4096 -- of a message; a larger one is kept without its arguments
  local TRIMMED = 500 -- at most so many go at a time
  local LONGEST = 400 * 86400000
  local AHEAD = 1000 -- ms
  local LISTING = {}

  local function message_to_list(message)
    if #message <= LISTED_BYTES then return message end
    return string.sub(message, 1, 23) .. '\1' .. string.sub(message, 25, 27 + string.byte(message, 27))
  end

  -- What ended after now is older all the same: the clock was set back since.
  local function bring_back(place)
    local ahead = redis.call('ZRANGEBYSCORE', place, now + AHEAD, '+inf', 'LIMIT', 0, TRIMMED)
    for _, id in ipairs(ahead) do redis.call('ZADD', place, now - 1, id) end
  end

  local function trim(kind)
    local old = redis.call('ZRANGEBYSCORE', DONE_AT .. kind.type, '-inf', now - kind.ms, 'LIMIT', 0, TRIMMED)
    local excess = math.min(redis.call('ZCARD', DONE_AT .. kind.type) - kind.most, TRIMMED)
    if excess > #old then old = redis.call('ZRANGE', DONE_AT .. kind.type, 0, excess - 1) end
    if #old > 0 then
      redis.call('ZREM', DONE_AT .. kind.type, unpack(old))
      redis.call('HDEL', DONE .. kind.type, unpack(old))
    end
  end

  local function write(kind)
    local listed, entries, records, times = kind.listed, {}, {}, {}
    for i = 1, #listed, 3 do entries[#entries + 1] = listed[i] end
    for n, message in ipairs(redis.call('HMGET', TASKS, unpack(entries))) do
      local id, took = listed[3 * n - 1], listed[3 * n]
      if message then
        records[#records + 1], records[#records + 2] = id, cmsgpack.pack({now, took, worker, message_to_list(message)})
        times[#times + 1], times[#times + 2] = now, id
      end
    end
    if #times == 0 then return end
    bring_back(DONE_AT .. kind.type)
    redis.call('HSET', DONE .. kind.type, unpack(records))
    redis.call('ZADD', DONE_AT .. kind.type, unpack(times))
    redis.call('SADD', DONE_TYPES, kind.type)
    trim(kind)
    redis.call('PEXPIRE', DONE .. kind.type, kind.ms)
    redis.call('PEXPIRE', DONE_AT .. kind.type, kind.ms)
    redis.call('PEXPIRE', DONE_TYPES, LONGEST)
  end

  -- Takes what stands in front of the result, and returns that. `kind.listed`: entry, id and seconds by turns.
  function LISTING.note(kind, entry, id, blob)
    local listed = kind.listed
    listed[#listed + 1], listed[#listed + 2], listed[#listed + 3] = entry, id, string.sub(blob, 1, 8)
    return string.sub(blob, 9)
  end

  -- Writes what was noted, while its messages are still there.
  function LISTING.finish(kinds)
    for _, kind in pairs(kinds) do
      if kind.listed then write(kind) end
    end
  end

  return LISTING
end
