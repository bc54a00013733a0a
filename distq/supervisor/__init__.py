"""The processes of one worker host.

    supervisor   never imports the application; one thread, one selector loop: leases, recovery, time, metrics
    └─ template  imports the application once, freezes its memory, forks on request
       └─ child  one per slot; runs handlers; shares the template's memory

They share the status board (`distq.worker.board`) and die together: a child with its template, that with the
supervisor.
"""
