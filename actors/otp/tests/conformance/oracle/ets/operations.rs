//! What one word of a story does, and how its outcome is said.

use std::sync::Arc;

use otp::Node;
use otp::ets::{self, Chunk, Count, EtsError, Kind, Protection, Spec, TableInfo};

use super::{Object, Player, Players, Tuples};

/// Does one operation; every error is called what Erlang calls it.
pub(super) fn operate(
    line: &[&'static str],
    table: &Tuples,
    player: &mut Player,
    players: &Players,
    node: &Node,
) -> String {
    let done = rows(line, table)
        .or_else(|| walks(line, table, player))
        .or_else(|| selects(line, table))
        .or_else(|| administration(line, table, player, players, node));
    done.unwrap_or_else(|| panic!("unknown operation {line:?}"))
        .unwrap_or_else(|_| "badarg".to_owned())
}

type Outcome = Option<Result<String, EtsError>>;

// ---- reading the words ----------------------------------------------------------------------

fn int(text: &str) -> i64 {
    text.parse().unwrap()
}

fn object(text: &str) -> Object {
    let mut parts = text.split(':').map(int);
    (parts.next().unwrap(), parts.collect())
}

fn objects(texts: &[&str]) -> Vec<Object> {
    texts.iter().map(|text| object(text)).collect()
}

fn count(text: &str) -> Count {
    let parts: Vec<i64> = text.split(',').map(int).collect();
    // The key is element 1 of Erlang's tuple, and no part of our value.
    let position = usize::try_from(parts[0] - 2).unwrap_or(usize::MAX);
    let count = Count::by(parts[1]).at(position);
    match parts[..] {
        [_, _, threshold, reset] => count.limit(threshold, reset),
        _ => count,
    }
}

// ---- saying what came out -------------------------------------------------------------------

fn words<T: ToString>(list: &[T]) -> String {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "none".into()
    } else {
        texts.join(" ")
    }
}

fn text(key: &i64, values: &[i64]) -> String {
    let parts = [*key].into_iter().chain(values.iter().copied());
    let parts: Vec<String> = parts.map(|part| part.to_string()).collect();
    parts.join(":")
}

fn said(objects: &[(i64, Arc<Vec<i64>>)]) -> Vec<String> {
    objects
        .iter()
        .map(|(key, values)| text(key, values))
        .collect()
}

/// In the order of Erlang's terms: shorter tuples first.
fn sorted(mut objects: Vec<(i64, Arc<Vec<i64>>)>) -> Vec<(i64, Arc<Vec<i64>>)> {
    objects.sort_by_key(|(key, values)| (values.len(), *key, values.clone()));
    objects
}

fn in_order(table: &Tuples, objects: Vec<(i64, Arc<Vec<i64>>)>) -> String {
    words(&said(&if table.kind() == Kind::OrderedSet {
        objects
    } else {
        sorted(objects)
    }))
}

fn key(found: Option<i64>) -> String {
    found.map_or_else(|| "end".into(), |key| key.to_string())
}

fn yes<T>(_: T) -> String {
    "true".into()
}

// ---- single keys and lists ------------------------------------------------------------------

fn rows(line: &[&'static str], table: &Tuples) -> Outcome {
    let under = |key: i64| {
        move |values: Vec<Arc<Vec<i64>>>| {
            let objects: Vec<String> = values.iter().map(|value| text(&key, value)).collect();
            words(&objects)
        }
    };
    let counted = |sums: Vec<i64>| words(&sums);
    Some(match *line {
        ["insert", one] => {
            let (key, values) = object(one);
            table.insert(key, values).map(yes)
        }
        ["insert_list", ref list @ ..] => table.insert_all(objects(list)).map(yes),
        ["insert_new", one] => {
            let (key, values) = object(one);
            table.insert_new(key, values).map(|new| new.to_string())
        }
        ["insert_new_list", ref list @ ..] => table
            .insert_new_all(objects(list))
            .map(|new| new.to_string()),
        ["lookup", key] => table.lookup(&int(key)).map(under(int(key))),
        ["take", key] => table.take(&int(key)).map(under(int(key))),
        ["member", key] => table.member(&int(key)).map(|member| member.to_string()),
        ["lookup_element", key, position] => lookup_element(table, int(key), position),
        ["delete", key] => table.delete(&int(key)).map(yes),
        ["delete_object", one] => {
            let (key, values) = object(one);
            table.delete_object(&key, &values).map(yes)
        }
        ["delete_all"] => table.delete_all().map(yes),
        ["delete_table"] => table.delete_table().map(yes),
        ["update_counter", key, ref counts @ ..] => {
            let counts: Vec<Count> = counts.iter().map(|one| count(one)).collect();
            table.update_counter(&int(key), &counts).map(counted)
        }
        ["update_counter_default", key, default, ref counts @ ..] => {
            let counts: Vec<Count> = counts.iter().map(|one| count(one)).collect();
            let default = object(default).1;
            table
                .update_counter_or(&int(key), &counts, default)
                .map(counted)
        }
        ["update_element", key, ref changes @ ..] => update_element(table, int(key), changes),
        _ => return None,
    })
}

fn lookup_element(table: &Tuples, key: i64, position: &str) -> Result<String, EtsError> {
    let element = |values: &Vec<i64>| match int(position) {
        1 => Some(key),
        position => values.get(position as usize - 2).copied(),
    };
    let elements = table.lookup_element(&key, element)?;
    let elements: Option<Vec<i64>> = elements.into_iter().collect();
    elements
        .map(|elements| words(&elements))
        .ok_or(EtsError::BadPosition)
}

fn update_element(table: &Tuples, key: i64, changes: &[&str]) -> Result<String, EtsError> {
    let changes: Vec<(usize, i64)> = changes
        .iter()
        .map(|change| {
            let (position, value) = change.split_once(',').unwrap();
            (int(position) as usize - 2, int(value))
        })
        .collect();
    let updated = table.update(&key, |values| {
        // All or nothing.
        let fits = changes.iter().all(|(position, _)| *position < values.len());
        if fits {
            changes
                .iter()
                .for_each(|(position, value)| values[*position] = *value);
        }
        fits
    })?;
    match updated {
        Some(true) => Ok("true".into()),
        Some(false) => Err(EtsError::BadPosition),
        None => Ok("false".into()),
    }
}

// ---- walking --------------------------------------------------------------------------------

fn walks(line: &[&'static str], table: &Tuples, player: &mut Player) -> Outcome {
    Some(match *line {
        ["first"] => table.first().map(key),
        ["last"] => table.last().map(key),
        ["next", from] => table.next(&int(from)).map(key),
        ["prev", from] => table.prev(&int(from)).map(key),
        ["fix"] => table.fix().map(|fixed| {
            player.fixes.push(fixed);
            "true".into()
        }),
        // One that is not there is no error.
        ["unfix"] => table.member(&0).map(|_| yes(player.fixes.pop())),
        ["walk"] => walk(table, |_| Ok(())),
        ["walk_and_delete"] => {
            let fixed = table.fix();
            fixed.and_then(|_fixed| walk(table, |key| table.delete(&key)))
        }
        ["list"] => table.to_vec().map(|all| words(&said(&sorted(all)))),
        ["foldl"] => table.foldl(vec![], met).map(|keys| folded(table, keys)),
        ["foldr"] => table.foldr(vec![], met).map(|keys| folded(table, keys)),
        _ => return None,
    })
}

fn walk(table: &Tuples, meet: impl Fn(i64) -> Result<(), EtsError>) -> Result<String, EtsError> {
    let mut keys = Vec::new();
    let mut next = table.first()?;
    while let Some(key) = next {
        keys.push(key);
        meet(key)?;
        next = table.next(&key)?;
    }
    keys.sort_unstable();
    Ok(words(&keys))
}

fn met(mut keys: Vec<i64>, key: &i64, _: &Arc<Vec<i64>>) -> Vec<i64> {
    keys.push(*key);
    keys
}

fn folded(table: &Tuples, mut keys: Vec<i64>) -> String {
    if table.kind() != Kind::OrderedSet {
        keys.sort_unstable();
    }
    words(&keys)
}

// ---- selecting ------------------------------------------------------------------------------

fn selects(line: &[&'static str], table: &Tuples) -> Outcome {
    let number = |count: usize| count.to_string();
    Some(match *line {
        ["select", ref range @ ..] => table.select(&spec(range)).map(|all| in_order(table, all)),
        ["select_reverse", ref range @ ..] => {
            let found = table.select_reverse(&spec(range));
            found.map(|all| in_order(table, all))
        }
        ["select_count", ref range @ ..] => table.select_count(&spec(range)).map(number),
        ["select_delete", ref range @ ..] => table.select_delete(&spec(range)).map(number),
        ["select_replace", low, high, add] => {
            let add = int(add);
            let spec =
                Spec::new(move |_: &i64, values: &Arc<Vec<i64>>| Some(vec![values[0] + add]));
            table
                .select_replace(&spec.range(int(low)..=int(high)))
                .map(number)
        }
        ["select_value", value] => {
            let found = table.select(&with_value(int(value)));
            found.map(|all| in_order(table, all))
        }
        ["match_delete", value] => table.select_delete(&with_value(int(value))).map(yes),
        ["chunks", low, high, limit] => {
            let limit = int(limit) as usize;
            chunks(table, table.select_limit(&spec(&[low, high]), limit))
        }
        ["chunks_reverse", low, high, limit] => {
            let limit = int(limit) as usize;
            chunks(
                table,
                table.select_reverse_limit(&spec(&[low, high]), limit),
            )
        }
        _ => return None,
    })
}

fn spec(range: &[&str]) -> Spec<i64, Vec<i64>> {
    match *range {
        [] => Spec::all(),
        [key] => Spec::all().key(int(key)),
        [low, high] => Spec::all().range(int(low)..=int(high)),
        _ => panic!("no range: {range:?}"),
    }
}

fn with_value(value: i64) -> Spec<i64, Vec<i64>> {
    Spec::filter(move |_, values: &Vec<i64>| *values == [value])
}

type Found = (i64, Arc<Vec<i64>>);

fn chunks(
    table: &Tuples,
    first: Result<Chunk<i64, Vec<i64>, Found>, EtsError>,
) -> Result<String, EtsError> {
    let mut all = Vec::new();
    let mut chunk = first?;
    loop {
        if !chunk.found.is_empty() {
            all.push(chunk.found);
        }
        let Some(more) = chunk.more else {
            break;
        };
        chunk = more.next()?;
    }
    if table.kind() != Kind::OrderedSet {
        all = vec![sorted(all.concat())];
    }
    let texts: Vec<String> = all.iter().map(|chunk| said(chunk).join(" ")).collect();
    Ok(format!("[{}]", texts.join("] [")))
}

// ---- the table itself -----------------------------------------------------------------------

fn administration(
    line: &[&'static str],
    table: &Tuples,
    player: &mut Player,
    players: &Players,
    node: &Node,
) -> Outcome {
    Some(match *line {
        ["rename", name] => table.rename(name).map(yes),
        ["whereis", name] => Ok(match node.tables().id_of(name) {
            Some(_) => "found".into(),
            None => "undefined".into(),
        }),
        ["new_named", name] => ets::set::<i64, i64>().named(name).create().map(yes),
        ["info", what] => Ok(match table.info() {
            Some(info) => information(what, &info, players),
            None => "undefined".into(),
        }),
        ["set_heir", "none"] => table.clear_heir().map(yes),
        ["set_heir", who, data] => table.set_heir(players.pid(who), data).map(yes),
        ["set_protection", name] => {
            let protection = match name {
                "public" => Protection::Public,
                "protected" => Protection::Protected,
                _ => Protection::Private,
            };
            table.set_protection(protection).map(yes)
        }
        ["give_away", who, data] => table.give_away(players.pid(who), data).map(yes),
        ["transfer"] => Ok(match player.transfers.pop_front() {
            Some(transfer) => {
                let data = transfer.data::<&'static str>().unwrap();
                format!("from {} {data}", players.who(transfer.from()))
            }
            None => "nothing".into(),
        }),
        ["nothing"] => Ok(match player.transfers.front() {
            Some(_) => "something".into(),
            None => "nothing".into(),
        }),
        _ => return None,
    })
}

fn information(what: &str, info: &TableInfo, players: &Players) -> String {
    match what {
        "size" => info.size.to_string(),
        "type" => info.kind.name().into(),
        "owner" => players.who(info.owner).into(),
        "heir" => info.heir.map_or("none", |heir| players.who(heir)).into(),
        "named_table" => info.named.to_string(),
        "name" => info.name.as_deref().unwrap_or_default().into(),
        "fixed" => info.fixed.to_string(),
        "fixed_by" if info.fixed_by.is_empty() => "false".into(),
        "fixed_by" => {
            let holders = info.fixed_by.iter();
            let mut texts: Vec<String> = holders
                .map(|(pid, count)| format!("{} {count}", players.who(*pid)))
                .collect();
            texts.sort();
            texts.join(" ")
        }
        "protection" => match info.protection {
            Protection::Public => "public".into(),
            Protection::Protected => "protected".into(),
            Protection::Private => "private".into(),
        },
        other => panic!("unknown information {other}"),
    }
}
