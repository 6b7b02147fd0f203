/* In a notebook's output: gives one message to the frame of that name and shows the answer in place of the words.
 * The message is appended as this function's argument (seq2exp_viz/locus_frame.py). */
((message) => {
  const line = document.getElementById(`${message.to}-${message.number}`);
  const frames = () => [...document.querySelectorAll(`iframe[name="${message.to}"]`)];
  const end = Date.now() + 60000;

  const hear = ({ data, source }) => {
    if (!data || data.from !== message.to || data.number !== message.number) return;
    if (!frames().some((frame) => frame.contentWindow === source)) return;
    stop();
    if (data.svg === undefined) {
      line.textContent = data.words;
      return;
    }
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(data.svg)}`;
    picture.style.maxWidth = "100%";
    const link = document.createElement("a");
    Object.assign(link, { href: picture.src, download: "locus.svg", textContent: "Save this SVG" });
    line.replaceChildren(link, document.createElement("br"), picture);
  };
  const stop = () => {
    clearInterval(timer);
    removeEventListener("message", hear);
  };
  /* Again and again, because the frame may still be loading. */
  const post = () => {
    if (Date.now() < end) {
      for (const frame of frames()) frame.contentWindow.postMessage(message, "*");
    } else {
      stop();
      line.textContent += " (no answer: the output of browse is not on this page)";
    }
  };
  addEventListener("message", hear);
  const timer = setInterval(post, 200);
  post();
})
