-- part cancelling: ends a waiting task; what runs may be ordered to end (docs/decisions/0040).
local function who_runs(entry)
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if redis.call('LPOS', PROCESSING .. worker, entry) then return worker end
  end
end

-- `call` is kept with the result, if it is given.
local function cancel_task(entry, message, who, mode, call)
  local h = read_head(message)
  if redis.call('ZREM', DELAYED, entry) == 0 then
    local worker = who_runs(entry)
    if worker and mode == '' then return 'running' end
    if worker then
      local control = CONTROL .. (redis.call('HGET', WORKER .. worker, 'host') or '')
      redis.call('SET', CANCEL .. entry, who, 'PX', 86400000)
      redis.call('ZADD', control, 0, table.concat({'cancel', mode, worker, entry}, ' '))
      redis.call('PEXPIRE', control, 60000)
      return 'ordered'
    end
    leave_list(entry, h)
  end
  finish(entry, h, 'cancelled', who, call)
  return 'cancelled'
end
