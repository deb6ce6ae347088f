//! Queries by typed columns.
//!
//! `Todo::query()` starts one. Closures are given the model's typed columns, one field for each of the struct's, and
//! return what to find ([`Filter`]) or how to order it ([`Order`]):
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use cfost::prelude::*;
//!
//! #[derive(Synced, Debug, Clone, Default, PartialEq)]
//! #[synced(table = "lists", version = 1)]
//! struct List {
//!     #[synced(id)]
//!     id: Uuid,
//!     name: String,
//! }
//!
//! #[derive(Synced, Debug, Clone, Default, PartialEq)]
//! #[synced(table = "todos", version = 1)]
//! struct Todo {
//!     #[synced(id)]
//!     id: Uuid,
//!     #[synced(index, search)]
//!     title: String,
//!     completed: bool,
//!     due_ms: Option<i64>,
//!     #[crdt(set)]
//!     tags: BTreeSet<String>,
//!     #[synced(references = List)]
//!     list: Option<Uuid>,
//! }
//!
//! # fn main() -> cfost::Result<()> {
//! let db = Db::open_in_memory(models![List, Todo])?;
//! let home = db.insert(List { name: "Home".into(), ..List::default() })?;
//! for (title, due_ms) in [("Buy milk", Some(2)), ("Bake bread", None), ("Buy flour", Some(1))] {
//!     let tags = BTreeSet::from(["kitchen".to_owned()]);
//!     db.insert(Todo { title: title.into(), due_ms, tags, list: Some(home.id), ..Todo::default() })?;
//! }
//!
//! let due = Todo::query()
//!     .filter(|t| t.completed.eq(false) & t.due_ms.is_not_null())
//!     .order_by(|t| (t.due_ms.asc(), t.title.asc()))
//!     .all(&db)?;
//! assert_eq!(due[0].title, "Buy flour");
//!
//! // What is in a set, in the row that a reference names, among the words of a text.
//! let query = Todo::query()
//!     .filter(|t| t.tags.contains("kitchen"))
//!     .filter(|t| t.list.matches(|list| list.name.eq("Home")))
//!     .filter(|t| t.title.matches("buy mil*"));
//! assert_eq!(query.count(&db)?, 1);
//!
//! // Rows together with those that they refer to.
//! let (todo, list) = query.with(|t| t.list).first(&db)?.expect("there is one");
//! assert_eq!((todo.title.as_str(), list), ("Buy milk", home));
//!
//! // Page by page, by the last row of the page before.
//! let page = Todo::query().order_by(|t| t.title.asc()).limit(2);
//! let first = page.all(&db)?;
//! let second = page.after(&first[1]).all(&db)?;
//! assert_eq!(second[0].title, "Buy milk");
//! # Ok(())
//! # }
//! ```
//!
//! A query is a value that is tied to no database. It runs on `&db`, or inside `db.write` on the transaction; and it
//! can be watched:
//!
//! ```
//! use cfost::prelude::*;
//! use cfost::{Origin, RowChange};
//!
//! #[derive(Synced, Debug, Clone, Default, PartialEq)]
//! #[synced(table = "todos", version = 1)]
//! struct Todo {
//!     #[synced(id)]
//!     id: Uuid,
//!     title: String,
//!     completed: bool,
//! }
//!
//! # fn main() -> cfost::Result<()> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let db = Db::open_in_memory(models![Todo])?;
//! let open = Todo::query().filter(|t| t.completed.eq(false));
//!
//! let mut live = open.watch(&db); // the rows, whenever they change
//! let mut changes = open.changes(&db); // what changes of them
//! assert_eq!(live.next().await.expect("the database is open")?, []);
//!
//! let milk = db.insert(Todo { title: "Buy milk".into(), ..Todo::default() })?;
//! assert_eq!(live.next().await.expect("the database is open")?, [milk.clone()]);
//!
//! let change = changes.next().await.expect("the database is open")?;
//! assert_eq!(change, RowChange::Insert { new: milk, origin: Origin::Local });
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! What a comparison means, which indexes serve it and what a live query costs is in `docs/queries.md` of the
//! repository.

pub use cfost_runtime::query::*;
