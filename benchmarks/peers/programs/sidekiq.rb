# Sidekiq: `ruby sidekiq.rb` answers what it reads, as driver.py does; `sidekiq -r ./sidekiq.rb` is a worker.
# It stores no results: "value" cannot be asked.
require "sidekiq"
require "json"

URL = ENV.fetch("BENCH_URL")
FOLDER = ENV.fetch("BENCH_FOLDER")

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
end

# Eight bytes in a file for each thread that runs handlers.
def ran
  mine = Thread.current
  file = (mine[:bench_file] ||= File.open(File.join(FOLDER, "#{Process.pid}-#{mine.object_id}.count"), "w+b"))
  mine[:bench_count] = (mine[:bench_count] || 0) + 1
  file.pwrite([mine[:bench_count]].pack("Q"), 0)
end

class Noop
  include Sidekiq::Worker

  def perform(_number)
    ran
  end
end

class Sleep
  include Sidekiq::Worker

  def perform(_number)
    sleep 0.01
    ran
  end
end

class Stamp
  include Sidekiq::Worker

  def perform(number)
    at = now
    File.open(File.join(FOLDER, "started"), "a") { |file| file.syswrite("#{number} #{at}\n") }
  end
end

TASKS = { "noop" => Noop, "sleep" => Sleep, "stamp" => Stamp }.freeze

Sidekiq.configure_server do |config|
  config.redis = { url: URL }
  config.logger.level = Logger::ERROR # a line for each job would cost more than the job
end
Sidekiq.configure_client { |config| config.redis = { url: URL, size: 10 } }

def timed
  begun = now
  yield
  { seconds: (now - begun) / 1e9 }
end

def answer(told)
  case told["call"]
  when "enqueue"
    task, producers = TASKS[told["task"]], told["producers"]
    timed do
      (0...producers).map do |index|
        Thread.new { index.step(told["number"] - 1, producers) { |number| task.perform_async(number) } }
      end.each(&:join)
    end
  when "bulk"
    timed do
      (0...told["number"]).each_slice(1000) do |numbers|
        Sidekiq::Client.push_bulk("class" => TASKS[told["task"]], "args" => numbers.map { |number| [number] })
      end
    end
  when "pace"
    sent = told["gaps"].each_with_index.map do |gap, number|
      sleep gap
      at = now
      Stamp.perform_async(number)
      at
    end
    { sent: sent }
  end
end

if $PROGRAM_NAME == __FILE__
  $stdout.sync = true
  $stdin.each_line { |line| puts JSON.generate(answer(JSON.parse(line))) }
end
