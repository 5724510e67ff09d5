# Registry: unique and duplicate keys, values, listeners, ends of owners. Each with 1 and 4 partitions.
defmodule Oracle.ScReg do
  use Oracle.Story

  def scenarios do
    for partitions <- [1, 4], {name, keys, fun} <- stories() do
      {key([keys, name, partitions]), fn ->
        {:ok, _} = Registry.start_link(keys: keys, name: :reg, partitions: partitions)
        fun.()
        nothing()
      end}
    end ++ listeners()
  end

  # An owner registers from inside.
  defp reg(owner, key, value), do: :oracle_worker.within(owner, fn -> Registry.register(:reg, key, value) end)

  defp register(owner, key, value) do
    case reg(owner, key, value) do
      {:ok, _} -> line([:register, key, owner, :ok])
      {:error, {:already_registered, pid}} -> line([:register, key, owner, :already_registered, pid])
    end
  end

  defp lookup(key) do
    found = for {pid, value} <- Registry.lookup(:reg, key), do: [pid, value]
    line([:lookup, key | Enum.concat(Enum.sort_by(found, fn [_, v] -> v end))])
  end

  defp counted, do: line([:count, Registry.count(:reg)])

  defp ended(owner, how) do
    ref = :oracle.watch(owner)
    :oracle_worker.finish(owner, how)
    down(ref)
  end

  defp stories do
    both = for keys <- [:unique, :duplicate], {name, fun} <- shared(), do: {name, keys, fun}
    both ++ for({name, fun} <- unique(), do: {name, :unique, fun}) ++ for({name, fun} <- duplicate(), do: {name, :duplicate, fun})
  end

  defp shared do
    for({name, how} <- [normal: :normal, custom: :boom, killed: {:signal, :kill}, crash: :crash],
      do: {key([:entries_of_an_owner_that_ended, name]), fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        register(owner, :b, 2)
        ended(owner, how)
        # An entry of a dead process may be seen for an instant.
        until(fn -> Registry.count(:reg) == 0 end)
        lookup(:a)
        lookup(:b)
        counted()
      end}) ++
    [
      {"register_and_lookup", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        lookup(:a)
        lookup(:b)
      end},
      {"empty", fn ->
        lookup(:a)
        counted()
        line([:keys, length(Registry.keys(:reg, self()))])
      end},
      {"count", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        counted()
        register(one, :b, 2)
        counted()
        register(two, :c, 3)
        counted()
      end},
      {"keys_of_a_process", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(one, :b, 2)
        register(two, :c, 3)
        for owner <- [one, two], do: line([:keys | Enum.sort(Registry.keys(:reg, owner))])
      end},
      {"unregister", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        line([:unregister, :oracle_worker.within(owner, fn -> Registry.unregister(:reg, :a) end)])
        lookup(:a)
        counted()
      end},
      {"unregister_of_what_is_not_there", fn ->
        owner = worker(:owner)
        line([:unregister, :oracle_worker.within(owner, fn -> Registry.unregister(:reg, :a) end)])
        counted()
      end},
      {"unregister_by_another_process_is_nothing", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        line([:unregister, Registry.unregister(:reg, :a)])
        lookup(:a)
      end},
      {"unregister_keeps_other_keys", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        register(owner, :b, 2)
        :oracle_worker.within(owner, fn -> Registry.unregister(:reg, :a) end)
        lookup(:b)
        counted()
      end},
      {"unregister_and_register_again", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        :oracle_worker.within(owner, fn -> Registry.unregister(:reg, :a) end)
        register(owner, :a, 2)
        lookup(:a)
      end},
      {"values_of_a_key", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        line([:values | Registry.values(:reg, :a, one)])
        line([:values | Registry.values(:reg, :a, two)])
        line([:values | Registry.values(:reg, :b, one)])
      end},
      {"match_of_values", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        register(owner, :b, 2)
        for {key, value} <- [a: 1, a: 2, b: 2, c: 1], do: line([:match, key, value, length(Registry.match(:reg, key, value))])
      end},
      {"count_match_of_values", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        for {key, value} <- [a: 1, a: 2, c: 1], do: line([:count_match, key, value, Registry.count_match(:reg, key, value)])
      end},
      {"unregister_match_takes_what_matches", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        :oracle_worker.within(owner, fn -> Registry.unregister_match(:reg, :a, 2) end)
        lookup(:a)
        :oracle_worker.within(owner, fn -> Registry.unregister_match(:reg, :a, 1) end)
        lookup(:a)
      end},
      {"select_all", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(two, :b, 2)
        all = Registry.select(:reg, [{{:"$1", :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}])
        for {key, pid, value} <- Enum.sort(all), do: line([:entry, key, pid, value])
      end},
      {"select_by_value", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(two, :b, 2)
        for key <- Registry.select(:reg, [{{:"$1", :_, :"$2"}, [{:>, :"$2", 1}], [:"$1"]}]), do: line([:key, key])
        line([:count_select, Registry.count_select(:reg, [{{:_, :_, :"$1"}, [{:>, :"$1", 1}], [true]}])])
      end},
      {"dispatch_to_nobody", fn ->
        line([:dispatch, Registry.dispatch(:reg, :a, fn _ -> line([:called]) end)])
      end},
      {"dispatch_to_one", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        line([:dispatch, Registry.dispatch(:reg, :a, fn entries -> for {pid, value} <- entries, do: line([:called, pid, value]) end)])
      end},
      {"metadata", fn ->
        line([:meta, Registry.meta(:reg, :k) == :error])
        Registry.put_meta(:reg, :k, :v1)
        line([:meta, elem(Registry.meta(:reg, :k), 1)])
        Registry.put_meta(:reg, :k, :v2)
        line([:meta, elem(Registry.meta(:reg, :k), 1)])
        Registry.delete_meta(:reg, :k)
        line([:meta, Registry.meta(:reg, :k) == :error])
      end},
      {"end_of_the_registry_frees_its_name", fn ->
        pid = Process.whereis(:reg)
        ref = :oracle.watch(pid)
        Process.unlink(pid)
        Supervisor.stop(pid)
        down(ref)
        whereis(:reg)
      end}
    ]
  end

  defp unique do
    [
      {"a_second_process_is_refused", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(two, :a, 2)
        lookup(:a)
        counted()
      end},
      {"a_second_time_is_refused", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        register(owner, :a, 2)
        lookup(:a)
        counted()
      end},
      {"free_for_another_after_the_end", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        ended(one, :boom)
        register(two, :a, 2)
        lookup(:a)
      end},
      {"free_for_another_after_unregister", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        :oracle_worker.within(one, fn -> Registry.unregister(:reg, :a) end)
        register(two, :a, 2)
        lookup(:a)
        ended(one, :normal)
        lookup(:a)
      end},
      {"update_value_by_the_owner", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        {new, old} = :oracle_worker.within(owner, fn -> Registry.update_value(:reg, :a, &(&1 + 10)) end)
        line([:update, new, old])
        lookup(:a)
      end},
      {"update_value_by_another", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        line([:update, Registry.update_value(:reg, :a, &(&1 + 10))])
        lookup(:a)
      end},
      {"update_value_of_what_is_not_there", fn ->
        line([:update, Registry.update_value(:reg, :a, &(&1 + 10))])
      end},
      {"a_name_in_the_registry", fn ->
        {:ok, pid} = GenServer.start(:oracle_worker, %{label: :named}, name: {:via, Registry, {:reg, :a}})
        line([:whereis, GenServer.whereis({:via, Registry, {:reg, :a}})])
        answer(:start, GenServer.start(:oracle_worker, %{label: :second}, name: {:via, Registry, {:reg, :a}}))
        line([:call, GenServer.call({:via, Registry, {:reg, :a}}, :get)])
        ended(pid, :boom)
        line([:whereis, GenServer.whereis({:via, Registry, {:reg, :a}}) || :none])
        line([:call, attempt(fn -> GenServer.call({:via, Registry, {:reg, :a}}, :get) end)])
      end},
      {"a_failed_start_leaves_no_name", fn ->
        answer(:start, GenServer.start(:oracle_worker, %{label: :named, init: {:stop, :boom}}, name: {:via, Registry, {:reg, :a}}))
        line([:whereis, GenServer.whereis({:via, Registry, {:reg, :a}}) || :none])
        until(fn -> Registry.count(:reg) == 0 end)
        counted()
      end}
    ]
  end

  defp duplicate do
    [
      {"two_processes_under_one_key", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(two, :a, 2)
        lookup(:a)
        counted()
      end},
      {"one_process_twice_under_one_key", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        register(owner, :a, 2)
        lookup(:a)
        counted()
        line([:keys | Registry.keys(:reg, owner)])
      end},
      {"unregister_takes_all_of_the_caller", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(one, :a, 2)
        register(two, :a, 3)
        :oracle_worker.within(one, fn -> Registry.unregister(:reg, :a) end)
        lookup(:a)
        counted()
      end},
      {"unregister_match_takes_the_callers_only", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(one, :a, 2)
        register(two, :a, 1)
        :oracle_worker.within(one, fn -> Registry.unregister_match(:reg, :a, 1) end)
        line([:values, one | Registry.values(:reg, :a, one)])
        line([:values, two | Registry.values(:reg, :a, two)])
        counted()
      end},
      {"the_end_of_one_spares_the_others", fn ->
        [one, two] = [worker(:one), worker(:two)]
        register(one, :a, 1)
        register(two, :a, 2)
        ended(one, :boom)
        until(fn -> Registry.count(:reg) == 1 end)
        lookup(:a)
      end},
      {"dispatch_to_all", fn ->
        owners = for label <- [:one, :two, :three], do: worker(label)
        for {owner, n} <- Enum.zip(owners, 1..3), do: register(owner, :a, n)
        me = self()
        Registry.dispatch(:reg, :a, fn entries -> for {_, value} <- entries, do: send(me, {:value, value}) end)
        values = for _ <- owners, do: receive(do: ({:value, value} -> value))
        line([:dispatched | Enum.sort(values)])
      end},
      {"dispatch_that_crashes_crashes_the_caller_only", fn ->
        owner = worker(:owner)
        register(owner, :a, 1)
        line([:dispatch, try do
          Registry.dispatch(:reg, :a, fn _ -> raise "oops" end)
        rescue
          RuntimeError -> :crash
        end])
        lookup(:a)
      end},
      {"update_value_is_refused", fn ->
        line([:update, try do
          Registry.update_value(:reg, :a, & &1)
        rescue
          ArgumentError -> :refused
        end])
      end},
      {"a_name_is_refused", fn ->
        line([:start, try do
          GenServer.start(:oracle_worker, %{label: :named}, name: {:via, Registry, {:reg, :a}})
        rescue
          ArgumentError -> :refused
        catch
          :exit, _ -> :refused
        else
          {:error, _} -> :refused
        end])
      end}
    ]
  end

  # Listeners: one partition, one observer.
  defp listeners do
    for keys <- [:unique, :duplicate], {name, how} <- [normal: :normal, killed: {:signal, :kill}, unregister: :unregister] do
      {key([keys, :listener_hears_of, name]), fn ->
        Process.register(self(), :listener)
        {:ok, _} = Registry.start_link(keys: keys, name: :reg, partitions: 1, listeners: [:listener])
        owner = worker(:owner)
        reg(owner, :a, 1)
        receive do: ({:register, :reg, key, pid, value} -> line([:registered, key, pid, value]))

        case how do
          :unregister ->
            :oracle_worker.within(owner, fn -> Registry.unregister(:reg, :a) end)
            receive do: ({:unregister, :reg, key, pid} -> line([:unregistered, key, pid]))

          # The end of an owner is no news; a listener has to monitor it.
          how ->
            :oracle_worker.finish(owner, how)
            until(fn -> Registry.count(:reg) == 0 end)
        end

        nothing()
      end}
    end ++
      [
        {"unique_listener_hears_nothing_of_a_refusal", fn ->
          Process.register(self(), :listener)
          {:ok, _} = Registry.start_link(keys: :unique, name: :reg, partitions: 1, listeners: [:listener])
          [one, two] = [worker(:one), worker(:two)]
          reg(one, :a, 1)
          reg(two, :a, 2)
          receive do: ({:register, :reg, key, pid, value} -> line([:registered, key, pid, value]))
          nothing()
        end}
      ]
  end
end
