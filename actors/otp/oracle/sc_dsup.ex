# DynamicSupervisor: returns, restarts, limits, ends.
defmodule Oracle.ScDsup do
  use Oracle.Story

  def scenarios do
    for(type <- types(), {name, how} <- ends(), do: {key([:restart, type, name]), fn -> restart(type, how) end}) ++
      for({name, init} <- inits(), type <- types(), do: {key([:start_child, name, type]), fn -> start_child(init, type) end}) ++
      for(n <- 0..3, do: {key([:intensity, n]), fn -> intensity(n) end}) ++
      for(n <- 1..2, {name, init} <- failures(), do: {key([:restart_fails, n, :times, name]), fn -> restart_fails(n, init) end}) ++
      [{"restart_fails_until_the_limit", fn -> restart_fails(1000, {:stop, :boom}) end}] ++
      for(type <- [:permanent, :transient], do: {key([:restart_ignored, type]), fn -> restart_ignored(type) end}) ++
      for(how <- [:stop, :terminate_child], {kind, shutdown} <- kinds(), {name, plan} <- plans(), fits(kind, name),
        do: {key([:shutdown, how, kind, name]), fn -> shutdown(how, shutdown, plan) end}) ++
      for(state <- [:running, :unknown, :ended, :restarting], do: {key([:terminate_child, state]), fn -> terminate_child(state) end}) ++
      for(max <- [0, 1, 2], do: {key([:max_children, max]), fn -> max_children(max) end}) ++
      singles()
  end

  defp types, do: [:permanent, :transient, :temporary]
  defp failures, do: [stop: {:stop, :boom}, crash: :crash, exit: {:exit, :boom}]
  defp inits, do: [ok: :ok, ignore: :ignore] ++ failures()
  defp kinds, do: [brutal: :brutal_kill, timeout: 5000, short: 1, infinity: :infinity]

  defp plans do
    [plain: %{trap: false}, trapping: %{}, hanging: %{terminate: :hang}, failing: %{terminate: {:exit, :why}}]
  end

  defp fits(kind, :hanging), do: kind in [:brutal, :short]
  defp fits(kind, :failing), do: kind in [:timeout, :infinity]
  # One that ends in time might be too late.
  defp fits(:short, _), do: false
  defp fits(_, _), do: true

  # Linked to the driver, as its parent.
  defp start(options \\ []) do
    defaults = [strategy: :one_for_one, max_restarts: 100, max_seconds: 5]
    {:ok, sup} = DynamicSupervisor.start_link(Keyword.merge(defaults, options))
    sup
  end

  defp add(sup, spec) do
    {:ok, pid} = DynamicSupervisor.start_child(sup, spec)
    pid
  end

  defp pids(sup), do: for({_, pid, _, _} <- DynamicSupervisor.which_children(sup), do: pid)

  defp which(sup) do
    case pids(sup) do
      [] -> line([:which])
      pids -> line([:which, {:pids, pids}])
    end
  end

  # Ends a child, and waits until the supervisor has dealt with it.
  defp finish(sup, pid, how) do
    line([:end, pid])
    :oracle_worker.finish(pid, how)
    dealt_with(sup, pid)
  end

  defp dealt_with(sup, pid) do
    until(fn ->
      try do
        pids = pids(sup)
        pid not in pids and :restarting not in pids
      catch
        :exit, _ -> true
      end
    end)
  end

  defp gone(sup, ref) do
    exit_of(sup)
    down(ref)
  end

  defp restart(type, how) do
    sup = start()
    _other = add(sup, child(:a))
    pid = add(sup, child(:b, %{restart: type}))
    finish(sup, pid, how)
    which(sup)
    count(DynamicSupervisor.count_children(sup))
    nothing()
  end

  defp start_child(init, type) do
    sup = start()
    answer(:start_child, DynamicSupervisor.start_child(sup, child(:a, %{restart: type}, %{init: init})))
    which(sup)
    count(DynamicSupervisor.count_children(sup))
    nothing()
  end

  # One child each time, so that the order of the stop is none.
  defp intensity(n) do
    sup = start(max_restarts: n)
    ref = :oracle.watch(sup)
    add(sup, child(:a))
    for _ <- 0..n, do: finish(sup, hd(pids(sup)), :boom)
    gone(sup, ref)
    nothing()
  end

  defp restart_fails(times, init) do
    sup = start(max_restarts: 3)
    ref = :oracle.watch(sup)
    fails = fn n when n > 1 and n < 2 + times -> init; _ -> :ok end
    pid = add(sup, child(:a, %{}, %{init: script(fails)}))
    finish(sup, pid, :boom)

    try do
      which(sup)
    catch
      :exit, _ -> gone(sup, ref)
    end

    nothing()
  end

  defp restart_ignored(type) do
    sup = start()
    pid = add(sup, child(:a, %{restart: type}, %{init: script(fn 2 -> :ignore; _ -> :ok end)}))
    finish(sup, pid, :boom)
    which(sup)
    count(DynamicSupervisor.count_children(sup))
    nothing()
  end

  defp shutdown(how, shutdown, plan) do
    sup = start()
    pid = add(sup, child(:a, %{shutdown: shutdown}, plan))
    ref = :oracle.watch(pid)

    case how do
      :stop ->
        sup_ref = :oracle.watch(sup)
        Process.unlink(sup)
        Process.exit(sup, :shutdown)
        down(ref)
        down(sup_ref)

      :terminate_child ->
        answer = DynamicSupervisor.terminate_child(sup, pid)
        down(ref)
        answer(:terminate_child, answer)
        which(sup)
    end

    nothing()
  end

  defp terminate_child(state) do
    sup = start(max_restarts: 100_000_000)

    plan =
      if state == :restarting, do: %{quiet: true, init: script(fn 1 -> :ok; _ -> {:stop, :boom} end)}, else: %{}

    pid = add(sup, child(:a, %{}, plan))

    target =
      case state do
        :running -> pid
        :unknown -> worker(:stranger)
        :ended ->
          ref = :oracle.watch(pid)
          :ok = DynamicSupervisor.terminate_child(sup, pid)
          down(ref)
          pid

        :restarting ->
          :oracle_worker.stop(pid, :boom)
          until(fn -> pids(sup) == [:restarting] end)
          pid
      end

    answer(:terminate_child, DynamicSupervisor.terminate_child(sup, target))
    which(sup)
    count(DynamicSupervisor.count_children(sup))
    if state == :unknown, do: line([:stranger, Process.alive?(target)])
    nothing()
  end

  defp max_children(max) do
    sup = start(max_children: max)
    answers = for _ <- 0..max, do: DynamicSupervisor.start_child(sup, child(:a, %{restart: :temporary}))
    for answer <- answers, do: answer(:start_child, answer)

    with [{:ok, first} | _] <- answers do
      finish(sup, first, :normal)
      answer(:start_child, DynamicSupervisor.start_child(sup, child(:a, %{restart: :temporary})))
    end

    count(DynamicSupervisor.count_children(sup))
    nothing()
  end

  defp stops_together(waiting, other) do
    sup = start()
    # Its own line comes when the other's is there.
    wait = fn -> await([:terminate, other], 1) end
    for label <- [:a, :b], do: add(sup, child(label, %{}, if(label == waiting, do: %{before: wait}, else: %{})))
    ref = :oracle.watch(sup)
    Process.unlink(sup)
    Process.exit(sup, :shutdown)
    down(ref)
    nothing()
  end

  defp singles do
    [
      {"start_without_children", fn ->
        sup = start()
        which(sup)
        count(DynamicSupervisor.count_children(sup))
        nothing()
      end},
      {"start_under_a_taken_name", fn ->
        {:ok, first} = DynamicSupervisor.start_link(strategy: :one_for_one, name: :named)
        answer(:start, DynamicSupervisor.start_link(strategy: :one_for_one, name: :named))
        line([:same, Process.whereis(:named) == first])
        nothing()
      end},
      {"children_may_share_an_id", fn ->
        sup = start()
        for _ <- 1..3, do: answer(:start_child, DynamicSupervisor.start_child(sup, child(:a)))
        which(sup)
        nothing()
      end},
      {"only_the_failed_child_is_replaced", fn ->
        sup = start()
        [_, b, _] = for label <- [:a, :b, :c], do: add(sup, child(label))
        finish(sup, b, :boom)
        which(sup)
        nothing()
      end},
      {"intensity_counts_over_all_children", fn ->
        sup = start(max_restarts: 1)
        ref = :oracle.watch(sup)
        a = add(sup, child(:a))
        b = add(sup, child(:b, %{}, %{quiet: true}))
        finish(sup, b, :boom)
        finish(sup, a, :boom)
        gone(sup, ref)
        nothing()
      end},
      {"a_child_in_retry_counts_for_max_children", fn ->
        sup = start(max_restarts: 100_000_000, max_children: 1)
        pid = add(sup, child(:a, %{}, %{quiet: true, init: script(fn 1 -> :ok; _ -> {:stop, :boom} end)}))
        :oracle_worker.stop(pid, :boom)
        until(fn -> pids(sup) == [:restarting] end)
        answer(:start_child, DynamicSupervisor.start_child(sup, child(:b)))
        count(DynamicSupervisor.count_children(sup))
        nothing()
      end},
      {"a_failed_start_does_not_count_for_max_children", fn ->
        sup = start(max_children: 1)
        answer(:start_child, DynamicSupervisor.start_child(sup, child(:a, %{}, %{init: {:stop, :boom}})))
        answer(:start_child, DynamicSupervisor.start_child(sup, child(:b)))
        answer(:start_child, DynamicSupervisor.start_child(sup, child(:c)))
        nothing()
      end},
      {"terminate_child_is_no_restart", fn ->
        sup = start(max_restarts: 0)
        a = add(sup, child(:a))
        add(sup, child(:b))
        answer(:terminate_child, DynamicSupervisor.terminate_child(sup, a))
        which(sup)
        nothing()
      end},
      {"children_stop_together_the_first_waits", fn -> stops_together(:a, :b) end},
      {"children_stop_together_the_last_waits", fn -> stops_together(:b, :a) end},
      {"exit_signal_of_a_stranger_is_ignored", fn ->
        sup = start()
        add(sup, child(:a))
        other = worker(:other)
        :oracle_worker.within(other, fn -> Process.exit(sup, :shutdown) end)
        which(sup)
        nothing()
      end},
      {"parent_ends_the_children_stop", fn ->
        parent = worker(:parent)
        sup = :oracle_worker.within(parent, fn -> start() end)
        add(sup, child(:a))
        ref = :oracle.watch(sup)
        :oracle_worker.stop(parent, :boom)
        down(ref)
        nothing()
      end},
      {"supervisor_is_killed_trapping_child_stops", fn ->
        sup = start()
        ref = :oracle.watch(add(sup, child(:a)))
        Process.exit(sup, :kill)
        down(ref)
        exit_of(sup)
        nothing()
      end},
      {"supervisor_is_killed_plain_child_dies", fn ->
        sup = start()
        ref = :oracle.watch(add(sup, child(:a, %{}, %{trap: false})))
        Process.exit(sup, :kill)
        down(ref)
        exit_of(sup)
        nothing()
      end},
      {"stop_of_a_supervisor_by_request", fn ->
        sup = start()
        add(sup, child(:a))
        ref = :oracle.watch(sup)
        Process.unlink(sup)
        line([:stop, DynamicSupervisor.stop(sup)])
        down(ref)
        nothing()
      end},
      {"under_a_supervisor_it_is_restarted_empty", fn ->
        spec = {DynamicSupervisor, strategy: :one_for_one, name: :named}
        {:ok, top} = Supervisor.start_link([spec], strategy: :one_for_one)
        sup = Process.whereis(:named)
        ref = :oracle.watch(add(sup, child(:a)))
        Process.exit(sup, :kill)
        down(ref)
        until(fn -> Process.whereis(:named) not in [nil, sup] end)
        which(:named)
        count(Map.new(Supervisor.count_children(top)))
        nothing()
      end},
      {"two_under_one_supervisor", fn ->
        specs = for name <- [:one, :two], do: Supervisor.child_spec({DynamicSupervisor, strategy: :one_for_one, name: name}, id: name)
        {:ok, top} = Supervisor.start_link(specs, strategy: :one_for_one)
        add(:one, child(:a))
        add(:two, child(:b))
        which(:one)
        which(:two)
        count(Map.new(Supervisor.count_children(top)))
        nothing()
      end},
      {"requests_to_a_dead_supervisor", fn ->
        sup = start()
        ref = :oracle.watch(sup)
        Process.unlink(sup)
        DynamicSupervisor.stop(sup)
        down(ref)
        line([:start_child, attempt(fn -> DynamicSupervisor.start_child(sup, child(:a)) end)])
        line([:terminate_child, attempt(fn -> DynamicSupervisor.terminate_child(sup, self()) end)])
        line([:which_children, attempt(fn -> DynamicSupervisor.which_children(sup) end)])
        line([:count_children, attempt(fn -> DynamicSupervisor.count_children(sup) end)])
        nothing()
      end}
    ]
  end
end
