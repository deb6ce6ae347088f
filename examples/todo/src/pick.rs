//! How a todo is named on the command line: by its number in the list or by the start of its id.
//!
//! A UUIDv7 begins with the time, which todos share, so the short id is taken from its random end.

use cfost::prelude::Uuid;

use crate::failure::Failure;
use crate::model::Todo;

const SHORT_ID_CHARS_MIN: usize = 4;

/// The random end of an id, which short ids are the start of.
fn tail(id: Uuid) -> String {
    id.simple().to_string().split_off(20)
}

/// The shortest ids that tell todos apart, in their order, all of one length.
pub(crate) fn short_ids(ids: impl IntoIterator<Item = Uuid>) -> Vec<String> {
    let tails: Vec<String> = ids.into_iter().map(tail).collect();
    let mut sorted: Vec<&str> = tails.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let shared = sorted.windows(2).map(|pair| shared_chars(pair[0], pair[1])).max().unwrap_or(0);
    let chars = SHORT_ID_CHARS_MIN.max(shared + 1);
    tails.iter().map(|tail| tail.chars().take(chars).collect()).collect()
}

fn shared_chars(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// The todo that `name` means, of `todos` in the order of the list.
///
/// # Errors
/// When it means none, or more than one.
pub(crate) fn pick<'a>(name: &str, todos: &'a [Todo]) -> Result<&'a Todo, Failure> {
    let number = name.strip_prefix('#').unwrap_or(name).parse::<usize>().ok();
    let by_number = number.and_then(|number| todos.get(number.checked_sub(1)?));
    let by_id = by_id(name, todos);
    match (by_number, by_id.as_slice()) {
        (Some(todo), []) => Ok(todo),
        (None, [todo]) => Ok(todo),
        (Some(todo), [same]) if todo.id == same.id => Ok(todo),
        (None, []) => Err(none(name, todos)),
        (Some(_), _) => Err(Failure::new(
            format!("'{name}' is both a number of the list and the start of an id"),
            format!("write '#{name}' for the number, or more of the id"),
        )),
        (None, several) => {
            let titles: Vec<_> = several.iter().map(|todo| format!("'{}'", todo.title)).collect();
            Err(Failure::new(
                format!("'{name}' is the start of {} ids: {}", several.len(), titles.join(", ")),
                "write more of the id, or the number that 'todo list' shows".to_owned(),
            ))
        }
    }
}

fn by_id<'a>(name: &str, todos: &'a [Todo]) -> Vec<&'a Todo> {
    if let Ok(id) = Uuid::parse_str(name) {
        return todos.iter().filter(|todo| todo.id == id).collect();
    }
    let start = name.to_ascii_lowercase();
    if start.len() < SHORT_ID_CHARS_MIN {
        return Vec::new();
    }
    todos.iter().filter(|todo| tail(todo.id).starts_with(&start)).collect()
}

fn none(name: &str, todos: &[Todo]) -> Failure {
    let help = match todos.len() {
        0 => "the list is empty; add one with 'todo add'".to_owned(),
        1 => "there is one todo; 'todo list' shows it".to_owned(),
        count => format!("there are {count} todos; 'todo list' shows their numbers and ids"),
    };
    let by_title = todos.iter().position(|todo| todo.title.eq_ignore_ascii_case(name));
    let help = by_title.map_or(help, |at| format!("the todo with that title is number {}", at + 1));
    Failure::new(format!("no todo is called '{name}'"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todo(id: &str, title: &str) -> Todo {
        Todo { id: Uuid::parse_str(id).unwrap(), title: title.into(), ..Todo::default() }
    }

    fn todos() -> Vec<Todo> {
        vec![
            todo("01890000-0000-7000-8000-7c0e11111111", "milk"),
            todo("01890000-0000-7000-8000-7c0e22222222", "bread"),
            todo("01890000-0000-7000-8000-000222222222", "tea"),
        ]
    }

    #[test]
    fn short_ids_grow_until_they_tell_todos_apart() {
        let ids: Vec<Uuid> = todos().iter().map(|todo| todo.id).collect();
        assert_eq!(short_ids(ids.clone()), ["7c0e1", "7c0e2", "00022"]);
        assert_eq!(short_ids([ids[1], ids[1], ids[2]]), ["7c0e", "7c0e", "0002"]);
        assert!(short_ids([]).is_empty());
    }

    #[test]
    fn a_todo_is_found_by_number_short_id_and_whole_id() {
        let todos = todos();
        for name in ["2", "#2", "7c0e2", "7C0E22", "01890000-0000-7000-8000-7c0e22222222"] {
            assert_eq!(pick(name, &todos).unwrap().title, "bread", "{name}");
        }
    }

    #[test]
    fn a_name_that_fits_none_or_several_says_what_to_do() {
        let todos = todos();
        for (name, said) in [
            ("0", "no todo is called '0'"),
            ("4", "no todo is called '4'"),
            ("7c0", "no todo is called '7c0'"),
            ("7c0e", "is the start of 2 ids: 'milk', 'bread'"),
            ("", "no todo is called ''"),
            ("ü", "no todo is called 'ü'"),
        ] {
            let failure = pick(name, &todos).unwrap_err().to_string();
            assert!(failure.contains(said), "{name}: {failure}");
        }
        assert!(pick("Tea", &todos).unwrap_err().to_string().contains("is number 3"));
    }

    #[test]
    fn digits_that_are_a_number_and_an_id_are_not_guessed() {
        let many: Vec<Todo> = (0..2222).map(|_| todos()[2].clone()).collect();
        let failure = pick("0002", &many[..2]).unwrap_err().to_string();
        assert!(failure.contains("both a number"), "{failure}");
    }
}
