-- part shelves: how tasks ended. A shelf is one HASH id -> element that goes as a whole, so all that a step has completed
-- is one write (docs/decisions/0024). The shelf "span:number" ends at span * number seconds since 1970.
local RESEND_WINDOW = 60000 -- producers repeat a call for so long, and must meet its ending
local NOTED_EVERY = 10000 -- SHELVES says to this accuracy when something last came to a shelf

local function is_shelf_over(shelf)
  local span, number = string.match(shelf, '^(%d+):(%d+)$')
  return span * number * 1000 <= now
end

-- Shelves that are over go, by UNLINK: not in the server's main thread. A time after now is of a clock that was set back.
local function sweep_shelves()
  local noted = redis.call('ZRANGE', SHELVES, 0, -1, 'WITHSCORES')
  for i = 1, #noted, 2 do
    local shelf = noted[i]
    if is_shelf_over(shelf) then
      redis.call('UNLINK', SHELF .. shelf)
      redis.call('ZREM', SHELVES, shelf)
    elseif tonumber(noted[i + 1]) > now then
      redis.call('ZADD', SHELVES, now, shelf)
    end
  end
end

-- Ids that go on under another entry are noted by the minute (parts/moving.lua): not in SHELVES, since they have not ended.
local function live_shelf(ago) return 'live:' .. math.floor(now / RESEND_WINDOW) - ago end

-- Where a call that is sent again is known by its ids.
local function write_latest()
  local window = RESEND_WINDOW + NOTED_EVERY
  local latest = redis.call('ZRANGEBYSCORE', SHELVES, now - window, '+inf')
  for ago = 0, 2 do
    if redis.call('EXISTS', SHELF .. live_shelf(ago)) == 1 then latest[#latest + 1] = live_shelf(ago) end
  end
  redis.call('SET', LATEST, table.concat(latest, ' '), 'PX', window)
end

-- The server removes a shelf a minute after its end, should nobody sweep it. The field without a name keeps it from
-- vanishing with its last id, and is too long for the form of small hashes, which are searched from their front.
local function note_shelf(shelf, ends)
  redis.call('HSET', SHELF .. shelf, '', string.rep('-', 100))
  redis.call('PEXPIREAT', SHELF .. shelf, ends + 60000)
  if redis.call('ZADD', SHELVES, now, shelf) == 1 then sweep_shelves() end
  write_latest()
end

-- Whoever waits for an id (look.lua) gets its result in a list of one, on which any number of them can block.
local function answer_waiting(results)
  local ids = {}
  for i = 1, #results, 2 do ids[#ids + 1] = results[i] end
  for i, waits_until in ipairs(redis.call('ZMSCORE', WAITED, unpack(ids))) do
    if waits_until then
      redis.call('ZREM', WAITED, ids[i])
      redis.call('RPUSH', ANSWER .. ids[i], results[2 * i])
      redis.call('PEXPIRE', ANSWER .. ids[i], 30000)
    end
  end
end

-- Keeps results (id, element, id, element …) for `ttl` ms, and a quarter longer at most, or a minute. The span is a power of
-- two, so calls with nearly the same ttl share their shelves. None of the ids has a result: a life begins without.
local function keep(results, ttl)
  local _, exponent = math.frexp(ttl / 4000)
  local span = math.max(64, math.ldexp(1, exponent - 1))
  local number = math.ceil((now + ttl) / (span * 1000))
  local shelf = span .. ':' .. number
  local noted = redis.call('ZSCORE', SHELVES, shelf)
  if not noted or math.abs(now - noted) > NOTED_EVERY then note_shelf(shelf, number * span * 1000) end
  redis.call('HSET', SHELF .. shelf, unpack(results))
  if redis.call('EXISTS', WAITED) == 1 then answer_waiting(results) end
end
