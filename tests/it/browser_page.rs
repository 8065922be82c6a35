//! The status page in a real browser. What it looks like is kept in `target/browser`.

use serde_json::json;

use crate::harness::browser::Page;
use crate::harness::{Edge, Front, Origin, instance};

/// Two instances: one that works, and one whose only replica does not answer.
async fn edge() -> (Edge, [Origin; 2], String) {
    let origins = [Origin::start("one").await, Origin::start("two").await];
    let dead = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let addresses = origins.each_ref().map(|origin| origin.address);
    let text = instance("congress", &addresses) + &instance("broken", &[dead]);
    let edge = crate::harness::Setup::new(&text).start().await;
    crate::harness::eventually("both are judged", async || {
        let status = edge.instance("broken").await["status"].clone();
        let good = edge.instance("congress").await["status"].clone();
        if status != "healthy" && good == "healthy" {
            Ok(())
        } else {
            Err((status, good))
        }
    })
    .await;
    (edge, origins, text)
}

fn url(edge: &Edge, path: &str) -> String {
    format!("http://{}{path}", edge.running.admin)
}

/// Whether nothing is wider than the screen; a bar to scroll down with may take some of it.
fn fits(width: u32) -> String {
    let root = "document.documentElement";
    format!("{root}.scrollWidth <= {width} && {root}.scrollWidth === {root}.clientWidth")
}

const LIVE: &str = "document.getElementById('pulse').textContent === 'live'";

#[tokio::test]
#[ignore = "needs chromium"]
async fn what_happens_appears_without_a_reload() {
    let (edge, origins, text) = edge().await;
    let mut page = Page::open().await;
    page.size(1280, 720).await;
    page.go(&url(&edge, "/")).await;
    page.until("the stream", LIVE).await;
    // A reload would lose it.
    page.value("window.stayed = 1").await;
    let sessions = "document.querySelector('#row-congress td').innerText";
    assert_eq!(page.value(sessions).await, "0");
    let socket = edge.ask("wss://congress.example.org/ws/").websocket().await;
    page.until("one session", &format!("{sessions} === '1'"))
        .await;
    page.until(
        "its line",
        "!!document.querySelector('#row-congress .spark .line')",
    )
    .await;
    page.keep("overview").await;
    socket.unwrap().close().await;
    page.until("no session", &format!("{sessions} === '0'"))
        .await;

    // The worst is first, and what comes and goes does so in its place.
    let rows = "[...document.querySelectorAll('#rows tr')].map(row => row.id).join()";
    assert_eq!(page.value(rows).await, "row-broken,row-congress");
    let more = instance("assembly", &[origins[0].address]) + &text;
    edge.reload(&more).await;
    // It has no certificate, and is as bad as the other.
    let all = "row-assembly,row-broken,row-congress";
    page.until("a new row", &format!("{rows} === '{all}'"))
        .await;
    edge.reload(&instance("congress", &[origins[0].address]))
        .await;
    page.until("one row", &format!("{rows} === 'row-congress'"))
        .await;
    page.until(
        "all is well",
        "document.documentElement.dataset.level === 'healthy' && document.title.startsWith('healthy')",
    )
    .await;
    assert_eq!(page.value("window.stayed").await, 1);

    edge.running.stop().await;
    page.until(
        "that nothing is heard is said",
        "document.getElementById('pulse').className === 'off'",
    )
    .await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn an_instance_is_opened_with_the_keyboard() {
    let (edge, _origins, _) = edge().await;
    let mut page = Page::open().await;
    page.size(1280, 900).await;
    page.go(&url(&edge, "/")).await;
    page.until("the stream", LIVE).await;
    let focused = "document.activeElement.id";
    for _ in 0..12 {
        if page.value(focused).await == "open-broken" {
            break;
        }
        page.press("Tab").await;
    }
    assert_eq!(page.value(focused).await, "open-broken");
    page.press("ArrowDown").await;
    assert_eq!(page.value(focused).await, "open-congress");
    // Its row changes, and the focus stays.
    let _socket = edge.ask("wss://congress.example.org/ws/").websocket().await;
    let sessions = "document.querySelector('#row-congress td').innerText";
    page.until("one session", &format!("{sessions} === '1'"))
        .await;
    assert_eq!(page.value(focused).await, "open-congress");
    let visible = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(page.value(visible).await, "solid");
    page.press("Enter").await;
    page.until("its page", "location.pathname === '/instance/congress'")
        .await;
    page.until("the stream", LIVE).await;
    page.until(
        "both replicas",
        "document.querySelectorAll('#replicas tbody tr').length === 2",
    )
    .await;
    let parts = "[...document.querySelectorAll('.graph .node text:not(.word)')].map(part => part.textContent).join()";
    let parts = page.value(parts).await;
    assert!(
        parts.as_str().is_some_and(|parts| parts.contains("web")),
        "{parts}"
    );
    page.until(
        "a chart of the day",
        "document.querySelectorAll('#charts svg .line').length > 2",
    )
    .await;
    page.keep("instance").await;
    // Every section says what it is to whoever does not see it.
    let unnamed = "[...document.querySelectorAll('section, [role=img], [role=group]')].filter(part => \
                   !part.getAttribute('aria-label') && !document.getElementById(part.getAttribute('aria-labelledby'))).length";
    assert_eq!(page.value(unnamed).await, 0);
    let history = page.call("Page.getNavigationHistory", json!({})).await;
    let index = history["currentIndex"].as_u64().unwrap() - 1;
    let entry = &history["entries"][usize::try_from(index).unwrap()];
    let back = json!({ "entryId": entry["id"] });
    page.call("Page.navigateToHistoryEntry", back).await;
    page.until("the way back", "location.pathname === '/'")
        .await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn on_a_phone_nothing_is_wider_than_the_screen() {
    let (edge, origins, text) = edge().await;
    let asleep =
        instance("asleep", &[origins[0].address]).replace("domains", "standby = true\ndomains");
    edge.reload(&(asleep + &text)).await;
    let long = "/a-very-long-path-without-any-place-to-break-it".repeat(4);
    crate::harness::eventually("a failure", async || {
        edge.get(&format!("http://asleep.example.org{long}")).await;
        let errors = edge.admin("/stats/asleep/errors").await.json();
        if errors.as_array().is_some_and(|errors| !errors.is_empty()) {
            Ok(())
        } else {
            Err(errors)
        }
    })
    .await;
    let mut page = Page::open().await;
    for (width, dark) in [(360, false), (390, true), (1280, true)] {
        page.size(width, 800).await;
        page.dark(dark).await;
        for (path, name) in [
            ("/", "overview"),
            ("/instance/broken", "broken"),
            ("/instance/asleep", "asleep"),
        ] {
            page.go(&url(&edge, path)).await;
            page.until("the stream", LIVE).await;
            let scheme = if dark { "dark" } else { "light" };
            page.keep(&format!("{name}-{width}-{scheme}")).await;
            assert_eq!(page.value(&fits(width)).await, true, "{path} at {width}");
            let ground = page
                .value("getComputedStyle(document.body).backgroundColor")
                .await;
            let is_dark = ground == "rgb(17, 20, 23)";
            assert_eq!(is_dark, dark, "{ground}");
        }
    }
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn with_scripting_off_the_page_says_the_same() {
    let (edge, _origins, _) = edge().await;
    let _socket = edge.ask("wss://congress.example.org/ws/").websocket().await;
    let mut page = Page::open().await;
    page.size(1280, 900).await;
    for path in ["/", "/instance/congress", "/instance/broken"] {
        let words = "document.querySelector('main').innerText";
        let both = tokio::sync::RwLock::new(&mut page);
        crate::harness::eventually("the same words", async || {
            let mut page = both.write().await;
            page.scripting(false).await;
            page.go(&url(&edge, path)).await;
            let without = page.value(words).await;
            let reloads = "document.querySelector('noscript meta')?.httpEquiv";
            assert_eq!(page.value(reloads).await, "refresh");
            page.scripting(true).await;
            page.go(&url(&edge, path)).await;
            page.until("the stream", LIVE).await;
            let with = page.value(words).await;
            assert!(with.as_str().is_some_and(|with| with.len() > 100), "{with}");
            if with == without {
                Ok(())
            } else {
                Err((with, without))
            }
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_last_lines_of_a_replica_are_a_click_away_and_go_on() {
    let edge = crate::admin_output::edge().await;
    let mut page = Page::open().await;
    page.size(1280, 900).await;
    page.go(&url(&edge, "/instance/congress")).await;
    page.until("the stream", LIVE).await;
    page.until(
        "lines",
        "document.querySelectorAll('#tail li').length === 200",
    )
    .await;
    page.value("document.querySelector('#output').scrollIntoView()")
        .await;
    page.keep("output").await;
    page.value("document.querySelector('#replicas a[href*=congress_web_2]').click()")
        .await;
    page.until("its page", "location.search === '?replica=congress_web_2'")
        .await;
    page.until("the stream", LIVE).await;
    page.until(
        "its lines",
        "document.querySelectorAll('#tail li').length > 100",
    )
    .await;
    page.value("window.stayed = 1").await;
    // The end is what is seen, and what comes is seen too.
    let last = "document.querySelector('#tail li:last-child')";
    let seen = format!(
        "{last}.getBoundingClientRect().bottom <= \
         document.querySelector('#tail').getBoundingClientRect().bottom + 1"
    );
    assert_eq!(page.value(&seen).await, true);
    std::fs::write(edge.folder.path().join("said"), "").unwrap();
    let said = format!("{last}.innerText.endsWith('it is said')");
    page.until("a new line", &said).await;
    assert_eq!(page.value(&seen).await, true);
    assert_eq!(page.value("window.stayed").await, 1);
    let most = "document.querySelectorAll('#tail li').length <= 200";
    assert_eq!(page.value(most).await, true);
    for (width, dark) in [(1280, true), (390, true), (360, false)] {
        page.size(width, 900).await;
        page.dark(dark).await;
        assert_eq!(page.value(&fits(width)).await, true, "at {width}");
        page.value("document.querySelector('#output').scrollIntoView()")
            .await;
        let scheme = if dark { "dark" } else { "light" };
        page.keep(&format!("output-{width}-{scheme}")).await;
    }
    edge.running.stop().await;
}
