-- part future: at their time, scheduled tasks become ready and waiting tasks whose deadline has passed end. The ticks of
-- schedules are future times, too; what is due of them is for a supervisor, who knows when the next one is (fire.lua).
-- advance: does what is due, at most `most` of each kind, and sets META.armed to what comes next. It wakes no keeper:
-- the keeper waits for the time that just passed, and asks for the next one itself. Its functions are made only then.
local function advance(most)
  local function unknown_type_record(h)
    return cmsgpack.pack({outcome = 'unknown', type = 'UnknownType', attempt = h.attempt + 1, at = now,
      message = 'no worker knew the type ' .. h.type .. ' for too long'})
  end

  -- Whether a group of workers announces the type now.
  local function is_known(lane)
    for _, digest in ipairs(redis.call('SMEMBERS', GROUPS)) do
      if redis.call('SISMEMBER', TYPES .. digest, lane) == 1 then return true end
    end
    return false
  end

  local function pass_deadline(entry)
    redis.call('ZREM', DEADLINES, entry)
    local message = redis.call('HGET', TASKS, entry)
    if not message then return end
    local h = read_head(message)
    if is_expired(h) then
      if redis.call('ZREM', DELAYED, entry) == 0 then leave_list(entry, h) end
      finish(entry, h, 'expired', 'expires')
    elseif is_known(h.flow) then
      be_patient(entry, redis.call('HGET', LANES, h.flow))
    else
      leave_list(entry, h)
      bury(entry, message, h, unknown_type_record(h))
    end
  end

  local function promote(entry)
    redis.call('ZREM', DELAYED, entry)
    local message = redis.call('HGET', TASKS, entry)
    if message then make_ready(entry, read_head(message), 'RPUSH') end
  end

  local function earliest(key)
    local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    return score and tonumber(score) or math.huge
  end

  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, most)) do pass_deadline(entry) end
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, most)) do promote(entry) end
  if redis.call('EXISTS', RESUMES) == 1 then flows().resume(most) end
  local next_ms = math.min(earliest(DELAYED), earliest(DEADLINES), earliest(RESUMES), earliest(FIRES))
  if next_ms == math.huge then
    redis.call('HDEL', META, 'armed')
  else
    redis.call('HSET', META, 'armed', string.format('%.0f', next_ms))
  end
end
