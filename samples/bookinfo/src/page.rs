//! The HTML of the two pages.

use serde_json::Value;

use crate::productpage::{ABOUT, TITLE};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;\
padding:1rem}header{display:flex;justify-content:space-between;border-bottom:1px solid #ccc}\
main{display:grid;grid-template-columns:1fr 1fr;gap:2rem}td,th{text-align:left;\
padding-right:1rem}.error{color:#a00}.pod{color:#666;font-size:.9rem}";

/// The first page: what this is, and where to go.
pub(crate) fn index() -> String {
    let body = "<h1>bookinfo</h1><p>A shop with one book, made of four services: this page \
        asks <b>details</b> and <b>reviews</b>, and reviews asks <b>ratings</b>.</p>\
        <p><a href=\"/productpage\">Go to the book</a></p>";
    document("bookinfo", body)
}

/// The book with what the two services said of it; `None` for one that gave no answer.
pub(crate) fn productpage(
    details: Option<&Value>,
    reviews: Option<&Value>,
    user: Option<&str>,
) -> String {
    let body = format!(
        "<header><b>bookinfo</b>{}</header><h1>{}</h1><p>{}</p><main>\
         <section><h2>Details</h2>{}</section><section><h2>Reviews</h2>{}</section></main>",
        account(user),
        escape(TITLE),
        escape(ABOUT),
        details.map_or_else(|| unavailable("details"), details_table),
        reviews.map_or_else(|| unavailable("reviews"), reviews_list),
    );
    document(TITLE, &body)
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(title)
    )
}

fn account(user: Option<&str>) -> String {
    match user {
        Some(user) => {
            format!("<span>{} <a href=\"/logout\">log out</a></span>", escape(user))
        }
        None => "<form method=\"post\" action=\"/login\"><input name=\"username\" \
            aria-label=\"user name\" placeholder=\"user name\" required> <button>log in</button>\
            </form>"
            .to_owned(),
    }
}

fn unavailable(what: &str) -> String {
    format!("<p class=\"error\">The {what} cannot be had at the moment.</p>")
}

fn details_table(details: &Value) -> String {
    let mut rows = String::new();
    for (name, value) in details.as_object().into_iter().flatten().filter(|(n, _)| *n != "id") {
        rows += &format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&text(value)));
    }
    format!("<table>{rows}</table>")
}

fn reviews_list(answer: &Value) -> String {
    let mut list = String::new();
    for review in answer["reviews"].as_array().into_iter().flatten() {
        list += &format!(
            "<blockquote><p>{}</p><footer>{} {}</footer></blockquote>",
            escape(&text(&review["text"])),
            escape(&text(&review["reviewer"])),
            stars(&review["rating"]),
        );
    }
    let pod = escape(&text(&answer["podname"]));
    format!("{list}<p class=\"pod\">Reviews served by: <code>{pod}</code></p>")
}

fn stars(rating: &Value) -> String {
    if let Some(error) = rating["error"].as_str() {
        return format!("<span class=\"error\">{}</span>", escape(error));
    }
    let Some(given) = rating["stars"].as_u64() else { return String::new() };
    let full = given.min(5) as usize;
    let color = if rating["color"] == "red" { "red" } else { "black" };
    let marks = "\u{2605}".repeat(full) + &"\u{2606}".repeat(5 - full);
    format!("<span style=\"color:{color}\" title=\"{full} of 5 stars\">{marks}</span>")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `text` as it can stand in HTML, also inside quotes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_shows_pod_and_stars_in_their_colour() {
        let reviews = json!({"podname": "reviews-v3-0", "reviews": [
            {"reviewer": "Reviewer1", "text": "Good", "rating": {"stars": 4, "color": "red"}}]});
        let html = productpage(None, Some(&reviews), Some("jason"));
        assert!(html.contains("reviews-v3-0"));
        assert!(html.contains("color:red"));
        assert!(html.contains("\u{2605}\u{2605}\u{2605}\u{2605}\u{2606}"));
        assert!(html.contains("The details cannot be had"));
        assert!(html.contains("jason"));
    }

    #[test]
    fn what_services_say_cannot_become_markup() {
        let reviews = json!({"podname": "<script>", "reviews": [
            {"reviewer": "a", "text": "<img src='x'>", "rating": {"error": "<b>"}}]});
        let html = productpage(Some(&json!({"<i>": "\"<u>\""})), Some(&reviews), None);
        for tag in ["<script>", "<img", "<b>\"", "<i>", "<u>"] {
            assert!(!html.contains(tag), "{tag}");
        }
    }
}
