//! What a lock says of a migration beforehand is what the migration does.

use std::sync::{Arc, Mutex};

use cfost::Db;
use cfost::schema::Shape;
use cfost::schema::lock::{Bless, Lock, Problem, TablePlan, Work};
use cfost::store::{DbFile, Migration, MigrationWork};

use super::apps::{App, copy, fill, host, models};

/// The lock of the app, recorded version by version.
fn lock(newest: u32) -> Lock {
    (1..=newest).fold(Lock::default(), |lock, version| {
        let app = Lock::of(&models(version));
        let only_new = |problem: &Problem| problem.blessed_by() == Some(Bless::New);
        let problems = lock.compare(&app);
        assert!(problems.iter().all(only_new), "version {version}: {problems:?}");
        lock.record(&app, Bless::New).unwrap()
    })
}

fn plan(lock: &Lock, path: &std::path::Path) -> (TablePlan, u64) {
    let file = DbFile::open(path).unwrap();
    let model = file.models().unwrap().remove(0);
    let size = file.size(&model).unwrap();
    let stale = model.is_made_anew_by(lock.models["todos"].newest());
    let plan = lock.plan("todos", Some((model.version, &model.shape)), stale).unwrap().unwrap();
    (plan, size.rows + size.hidden_rows)
}

#[test]
fn a_lock_that_grew_with_the_app_agrees_with_its_attributes_about_each_version() {
    let recorded = lock(5);
    for version in 1..=5 {
        let newest = Lock::of(&models(version));
        assert_eq!(recorded.models["todos"].shape(version), newest.models["todos"].shape(version), "version {version}");
    }
    assert_eq!(recorded.compare(&Lock::of(&models(5))), []);
    assert_eq!(recorded.to_string().parse(), Ok(recorded.clone()));
    let text = recorded.to_string();
    for line in [
        "upgraded due INTEGER NOT NULL from due TEXT NOT NULL and back by \"with = day, back = date\"",
        "column heading TEXT NOT NULL lww called title",
        "removed secret leaving \"\"",
        "index due heading",
    ] {
        assert!(text.lines().any(|other| other == line), "`{line}` isn't in\n{text}");
    }
}

#[test]
fn a_plan_says_beforehand_what_a_migration_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = App::new(dir.path().join("1.db"), models(1));
    fill(first.db());
    first.close();
    for from in 1..5 {
        let path = dir.path().join(format!("{from}.db"));
        for to in from + 1..=5 {
            let copied = dir.path().join(format!("{from} to {to}.db"));
            copy(&path, &copied);
            let (plan, rows) = plan(&lock(to), &copied);
            let told: Arc<Mutex<Vec<Migration>>> = Arc::default();
            let tell = Arc::clone(&told);
            // Each copy goes on in a log of its own, so each needs chance of its own.
            let options = Db::options().host(host(u64::from(10 * from + to)));
            let options = options.on_migration(move |migration| tell.lock().unwrap().push(migration));
            let db = options.open(&copied, models(to)).unwrap_or_else(|error| panic!("from {from} to {to}: {error}"));
            let told = told.lock().unwrap();
            let expected = match told.last().map(|last| (last.work, last.total)) {
                None => Work::InPlace,
                Some((MigrationWork::Rows, total)) => {
                    assert_eq!(total, rows, "from {from} to {to}");
                    Work::Rows
                }
                Some((MigrationWork::Changes, _)) => Work::Oplog,
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!(plan.work, expected, "from {from} to {to}: {plan:?}");
            let schema = db.schema().unwrap();
            let shape = Shape::of(models(to)[0].schema, to);
            assert_eq!(schema.table("todos").unwrap().file, Some((to, shape)), "from {from} to {to}");
            if to == from + 1 {
                drop(db);
                copy(&copied, &dir.path().join(format!("{to}.db")));
            }
        }
    }
}
