//! Names: of tables and columns, and which known name an unknown one is close to.

/// The column that the runtime keeps each row's clock in.
const CLOCK_COLUMN: &str = "_cfost";

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What is wrong with the name of a table or a column, if anything is.
pub(crate) fn problem(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() {
        Some("a name can't be empty".into())
    } else if lower == CLOCK_COLUMN {
        Some(format!("'{name}' is reserved: it is the column that holds each row's clock"))
    } else if let Some(prefix) = ["cfost_", "sqlite_"].into_iter().find(|prefix| lower.starts_with(prefix)) {
        Some(format!("'{name}' is reserved: names that begin with '{prefix}' belong to {}", owner(prefix)))
    } else if name.len() > NAME_BYTES_MAX {
        Some(format!("'{name}' is longer than {NAME_BYTES_MAX} bytes"))
    } else if name.starts_with(|first: char| first.is_numeric()) {
        Some(format!("'{name}' begins with a digit"))
    } else {
        let odd = name.chars().find(|c| !c.is_alphanumeric() && *c != '_')?;
        Some(format!("'{name}' contains {odd:?}: names are made of letters, digits and '_'"))
    }
}

fn owner(prefix: &str) -> &'static str {
    if prefix == "cfost_" { "CFOST" } else { "SQLite" }
}

/// `TodoItem` is `todo_item`, `HTTPRequest` is `http_request`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after_word = before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
        let starts_word = before.is_some_and(char::is_uppercase) && chars.get(at + 1).is_some_and(|c| c.is_lowercase());
        if c.is_uppercase() && (after_word || starts_word) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// The candidate that `name` most likely was meant to be: the nearest one, if at most a third of its
/// letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(name.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance in which swapping two neighbours is one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_after_its_struct() {
        let cases = [
            ("Todo", "todo"),
            ("TodoItem", "todo_item"),
            ("HTTPRequest", "http_request"),
            ("Page2", "page2"),
            ("V2Page", "v2_page"),
            ("already_snake", "already_snake"),
            ("Größe", "größe"),
            ("X", "x"),
        ];
        for (name, snake) in cases {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let keys = ["counter", "lww", "id", "index", "table"];
        let cases = [
            ("conter", Some("counter")),
            ("Counter", Some("counter")),
            ("tabel", Some("table")),
            ("idx", Some("id")),
            ("lwww", Some("lww")),
            ("indexed", Some("index")),
            ("elephant", None),
            ("x", None),
        ];
        for (name, suggestion) in cases {
            assert_eq!(nearest(name, keys), suggestion, "{name}");
        }
    }

    #[test]
    fn reserved_and_odd_names_are_refused_and_say_why() {
        for good in ["todos", "type", "größe", "a1", "_private", "ORDER"] {
            assert_eq!(problem(good), None);
        }
        let bad =
            ["", "_cfost", "_CFOST", "cfost_oplog", "SQLite_x", "1st", "a b", "a\"b", "naïve-name", &"x".repeat(65)];
        for bad in bad {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
