// How a class has voted, as bars on the choices of a question: for the lecturer's page and for the followers'.
// The rule: numbers only, beside the bars as well; who voted for what is known to nobody.
import { h } from "./dom.js";

/** Put the bars of `votes` ({counts}) on the choices in `box`; none where `votes` is nothing. */
export function drawBars(box, votes) {
  const choices = [...box.querySelectorAll(".choice")];
  const counts = votes ? votes.counts : [];
  const total = counts.reduce((sum, count) => sum + count, 0);
  choices.forEach((choice, number) => {
    const old = choice.querySelector(".votes");
    if (!votes || counts.length !== choices.length) {
      if (old) old.remove();
      return;
    }
    const share = total ? counts[number] / total : 0;
    const text = `${counts[number]}`;
    choice.style.setProperty("--share", `${Math.round(share * 100)}%`);
    if (old) old.lastChild.textContent = text;
    else choice.append(h("span", { class: "votes" }, h("span", { class: "offscreen" }, "votes: "), h("b", null, text)));
  });
  box.classList.toggle("has-votes", Boolean(votes));
}

/** "12 of 25 have voted" */
export function turnout(votes) {
  const total = votes.counts.reduce((sum, count) => sum + count, 0);
  return votes.followers === undefined ? `${total} voted` : `${total} of ${votes.followers} have voted`;
}
