"use strict";
// The arithmetic is that of kvtrace analyze plan (docs/plan.md), over its exact curve: sliders stop
// where the curve is known, so that the command below gives the same numbers.
(() => {
  const data = JSON.parse(document.getElementById("what-if-data").textContent);
  const { totals, setting } = data;
  const GIB = 2 ** 30, DAY_S = 86400, YEAR_DAYS = 365, YEAR_H = YEAR_DAYS * 24;
  const $ = (id) => document.getElementById(id);
  const indexOf = new Map(data.capacity.map((blocks, index) => [blocks, index]));
  // What a link asks for, in blocks, until the slider is moved.
  let wanted, shown, asked = {};

  // ---- what a point does -------------------------------------------------------------------

  const sizes = (how, dram) => {
    if (how.admit > 1) return filtered(how, dram).nvme;
    if (how.writes === "through") return data.capacity;
    return data.capacity.filter((blocks) => blocks >= dram).map((blocks) => blocks - dram);
  };
  const dramSizes = (how) => how.admit > 1
    ? data.filtered.filter((row) => row.admit === how.admit).map((row) => row.dram)
    : data.capacity;
  const filtered = (how, dram) => data.filtered.find((row) => row.admit === how.admit && row.dram === dram);

  function counts(how, dram, nvme) {
    if (how.admit > 1) {
      const row = filtered(how, dram), at = row.nvme.indexOf(nvme);
      return { hits: row.hits[at], tokens: row.tokens[at], writes: row.writes[at] };
    }
    const exclusive = how.writes === "exclusive";
    const at = indexOf.get(exclusive ? dram + nvme : Math.max(dram, nvme)) ?? data.capacity.length - 1;
    let writes = 0;
    if (nvme > 0) {
      writes = exclusive && dram > 0 ? data.exclusive[indexOf.get(dram)] : data.through[0][indexOf.get(nvme)];
    }
    return { hits: data.hits[at], tokens: data.tokens[at], writes };
  }

  const perDay = (amount, rate) => setting.load.span_s > 0 ? amount * (DAY_S / setting.load.span_s) * rate : null;

  function evaluate(s) {
    const block = s.bytesPerToken * totals.block_tokens;
    const found = counts(s, s.dram, s.nvme);
    const dramBytes = block * s.dram, nvmeBytes = block * s.nvme;
    const needed = s.capacityBytes ? Math.ceil(nvmeBytes / s.capacityBytes) : 1;
    const drives = nvmeBytes > 0 ? s.drives || needed : 0;
    const room = s.capacityBytes && drives ? drives * s.capacityBytes : null;
    const day = drives ? perDay(block * found.writes, s.rate) : null;
    const dwpd = room && day !== null ? day / room : null;
    const years = s.tbwBytes && day > 0 ? s.tbwBytes * drives / (day * setting.waf * YEAR_DAYS) : null;
    const tokensADay = perDay(totals.tokens, s.rate);
    const millionsAnHour = tokensADay === null ? null : tokensADay / 24 / 1e6;
    const kept = (price, life) => price === null || !millionsAnHour ? null : price / (life * YEAR_H) / millionsAnHour;
    const computed = (tokens) => s.prefill && s.priceGpu !== null
      ? tokens / totals.tokens * 1e6 / s.prefill / 3600 * s.priceGpu : null;
    const life = years === null ? s.years : Math.min(years, s.years);
    const dramCost = kept(s.priceDram === null ? null : dramBytes / GIB * s.priceDram, s.years);
    const nvmeCost = kept(s.priceNvme === null ? null : (room ?? nvmeBytes) / 1e12 * s.priceNvme, life);
    const gpuCost = computed(totals.tokens - found.tokens);
    const parts = [dramCost, nvmeCost, gpuCost];
    return {
      hit: found.hits / data.hits_of, day, dwpd, years, drives, dramBytes, nvmeBytes,
      fits: room === null || nvmeBytes <= room,
      cost: parts.includes(null) ? null : dramCost + nvmeCost + gpuCost,
      without: computed(totals.tokens),
    };
  }

  // ---- words -------------------------------------------------------------------------------

  const digits = (value) => Math.abs(value) >= 99.95 ? value.toFixed(0)
    : Math.abs(value) >= 9.995 ? value.toFixed(1) : value.toFixed(2);
  const scaled = (value, steps) => {
    const step = steps.find(([, scale]) => value >= scale);
    return step ? `${digits(value / step[1])} ${step[0]}` : `${Math.round(value)} B`;
  };
  const binary = (value) => scaled(value, [["PiB", 2 ** 50], ["TiB", 2 ** 40], ["GiB", GIB], ["MiB", 2 ** 20], ["KiB", 1024]]);
  const decimal = (value) => scaled(value, [["EB", 1e18], ["PB", 1e15], ["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]);
  const sizeWord = (bytes) => {
    const unit = [["PB", 1e15], ["TB", 1e12], ["GB", 1e9], ["MB", 1e6]].find(([, scale]) => bytes > 0 && bytes % scale === 0);
    return unit ? bytes / unit[1] + unit[0] : bytes + "B";
  };
  const quoted = (word) => /^[A-Za-z0-9\-_./:=,+@%]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

  function command(s) {
    const words = ["kvtrace", "analyze", "plan", ...data.source];
    const flag = (name, value) => { if (value !== null && value !== undefined) words.push("--" + name, String(value)); };
    flag("model", s.model);
    flag("dram", s.dram);
    flag("nvme", s.nvme);
    flag("writes", s.writes);
    flag("admit", s.admit > 1 ? s.admit : null);
    flag("semantics", setting.semantics === "prefix" ? null : setting.semantics);
    flag("definition", setting.definition === "token_block.prefix" ? null : setting.definition);
    flag("drives", s.drives || null);
    flag("drive-capacity", s.capacityBytes ? sizeWord(s.capacityBytes) : null);
    flag("tbw", s.tbwBytes ? sizeWord(s.tbwBytes) : null);
    flag("waf", setting.waf === 1 ? null : setting.waf);
    flag("rate-scale", s.rate === 1 ? null : s.rate);
    flag("tier-timing", setting.tier_timing);
    flag("prefill-tokens-per-s", s.prefill);
    const prices = [["dram", s.priceDram], ["nvme", s.priceNvme], ["gpu-hour", s.priceGpu]];
    const named = prices.filter(([, price]) => price !== null).map(([name, price]) => `${name}=${price}`);
    flag("price", named.length ? named.join(",") : null);
    flag("price-years", s.years === 5 ? null : s.years);
    return words.map(quoted).join(" ");
  }

  // ---- the controls ------------------------------------------------------------------------

  const number = (id) => {
    const value = $(id).valueAsNumber;
    return Number.isFinite(value) && value >= 0 ? value : null;
  };
  const nearest = (list, value) => list.reduce((best, each, at) =>
    Math.abs(each - value) < Math.abs(list[best] - value) ? at : best, 0);

  // What the controls say; DRAM and NVMe go to the nearest sizes at which the curve is known.
  function read() {
    const [model, bytesPerToken] = data.models[$("model").selectedIndex];
    const [writes, admit] = $("writes").value.split(":");
    const how = { writes, admit: Number(admit) };
    const block = bytesPerToken * totals.block_tokens;
    const fit = (id, list, bytes) => {
      $(id).max = list.length - 1;
      $(id).value = nearest(list, bytes / block);
      return list[$(id).valueAsNumber];
    };
    const dram = fit("dram", dramSizes(how), wanted.dram);
    const nvme = fit("nvme", sizes(how, dram), wanted.nvme);
    return {
      ...how, model, bytesPerToken, dram, nvme,
      drives: $("drives").valueAsNumber,
      capacityBytes: Math.round((number("capacity") ?? 0) * 1e12) || null,
      tbwBytes: Math.round((number("tbw") ?? 0) * 1e15) || null,
      rate: number("rate") || 1,
      prefill: number("prefill") || null,
      priceDram: number("price-dram"), priceNvme: number("price-nvme"), priceGpu: number("price-gpu"),
      years: number("years") || 5,
    };
  }

  const put = (id, value, words) => {
    $(id).textContent = value === null ? "–" : words(value);
    $(id).dataset.value = value === null ? "" : value;
  };

  function update() {
    const s = shown = read(), r = evaluate(s);
    put("wi-hit", r.hit, (value) => (100 * value).toFixed(2) + " %");
    put("wi-day", r.day, decimal);
    put("wi-dwpd", r.dwpd, digits);
    put("wi-years", r.years, (value) => value < 0.01 ? "< 0.01" : digits(value));
    put("wi-cost", r.cost, (value) => value.toFixed(4));
    $("wi-years").classList.toggle("wi-short", r.years !== null && r.years < s.years);
    $("wi-without").textContent = r.without === null ? "" : `; ${r.without.toFixed(4)} without a cache`;
    $("wi-definition").textContent = setting.definition;
    $("model-text").textContent = `${s.bytesPerToken.toLocaleString("en")} B/token`;
    $("dram-text").textContent = binary(r.dramBytes);
    $("nvme-text").textContent = binary(r.nvmeBytes);
    $("drives-text").textContent = s.drives ? s.drives : `as needed: ${r.drives}`;
    $("wi-warning").textContent = r.fits ? "" : `${binary(r.nvmeBytes)} do not fit ${s.drives} drives of ${decimal(s.capacityBytes)}.`;
    $("wi-snapped").textContent = snapped(s);
    $("wi-command").textContent = r.fits ? command(s) : "";
    for (const range of document.querySelectorAll("#wi-form [data-for]")) range.value = number(range.dataset.for) ?? 0;
    draw(s, r);
  }

  // The curve is exact at some sizes alone: that another one is shown than a link asks for is said.
  function snapped(s) {
    const blocks = (value) => value.toLocaleString("en");
    const words = [["DRAM", "dram"], ["NVMe", "nvme"]]
      .filter(([, id]) => asked[id] !== undefined && asked[id] !== s[id])
      .map(([name, id]) => `${blocks(s[id])} blocks of ${name} for the ${blocks(asked[id])} of the link`);
    return words.length ? `Shown, and in the command: ${words.join(", and ")}, the nearest at which the curve is known here.` : "";
  }

  // ---- the picture -------------------------------------------------------------------------

  function draw(s, r) {
    // As wide as the page lets it be, so that words keep their size.
    const width = Math.max(300, Math.min(640, $("wi-chart").parentElement.clientWidth || 560));
    $("wi-chart").setAttribute("viewBox", `0 0 ${width} 360`);
    const left = 66, right = width - 15, top = 16, bottom = 300;
    const block = s.bytesPerToken * totals.block_tokens;
    const behind = s.admit > 1 ? filtered(s, s.dram) : null;
    const capacity = behind ? behind.nvme : data.capacity, hits = behind ? behind.hits : data.hits;
    const most = Math.log(Math.max(2, data.capacity.at(-1)));
    const ceiling = data.hits.at(-1) / data.hits_of;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((each) => ceiling / each <= 6) ?? 0.2;
    const high = Math.max(step, Math.ceil(ceiling / step - 1e-9) * step);
    const x = (blocks) => left + (right - left) * Math.min(1, Math.log(Math.max(1, blocks)) / most);
    const y = (ratio) => bottom - (bottom - top) * ratio / high;
    const line = (kind, x1, y1, x2, y2) => `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
    const text = (at, height, words, anchor, kind) =>
      `<text x="${at}" y="${height}" text-anchor="${anchor}" class="${kind ?? ""}">${words}</text>`;
    let svg = "";
    for (let ratio = 0; ratio <= high + 1e-9; ratio += step) {
      svg += line("grid", left, y(ratio), right, y(ratio)) + text(left - 6, y(ratio) + 4, (100 * ratio).toFixed(0) + " %", "end");
    }
    for (let bytes = 2 ** 20, last = -99; bytes <= block * data.capacity.at(-1); bytes *= 4) {
      const at = x(bytes / block);
      if (bytes < block || at - last < 62) continue;
      svg += line("grid", at, bottom, at, bottom + 5) + text(at, bottom + 20, binary(bytes).replace(/\.0+(?= )/, ""), "middle");
      last = at;
    }
    const whole = s.writes === "exclusive" ? "DRAM + NVMe" : behind ? "NVMe behind this DRAM" : "the larger of DRAM and NVMe";
    svg += text((left + right) / 2, bottom + 42, `capacity: ${whole} (log scale)`, "middle");
    const middle = (top + bottom) / 2;
    svg += `<text x="14" y="${middle}" text-anchor="middle" transform="rotate(-90 14 ${middle})">hit ratio, ${setting.definition}</text>`;
    svg += line("ceiling", left, y(ceiling), right, y(ceiling));
    const path = capacity.map((blocks, at) => `${x(blocks).toFixed(1)},${y(hits[at] / data.hits_of).toFixed(1)}`);
    svg += `<polyline class="curve" points="${path.join(" ")}"/>`;
    const here = s.writes === "exclusive" ? s.dram + s.nvme : behind ? s.nvme : Math.max(s.dram, s.nvme);
    if (s.dram > 0) {
      svg += line("dram", x(s.dram), top, x(s.dram), bottom);
      svg += text(x(s.dram) + (x(s.dram) > right - 70 ? -5 : 5), bottom - 6, "DRAM", x(s.dram) > right - 70 ? "end" : "start");
    }
    svg += text(left + 6, y(ceiling) + (y(ceiling) < top + 18 ? 16 : -6), `a cache without end: ${(100 * ceiling).toFixed(2)} %`, "start", "point-text ceiling-text");
    const end = x(here) > width / 2;
    svg += `<circle class="point" cx="${x(here)}" cy="${y(r.hit)}" r="7"/>`;
    svg += text(x(here) + (end ? -12 : 12), y(r.hit) + (y(r.hit) < 60 ? 22 : -10), (100 * r.hit).toFixed(2) + " %", end ? "end" : "start", "point-text");
    $("wi-chart").innerHTML = svg;
  }

  // ---- start -------------------------------------------------------------------------------

  function reset() {
    const block = setting.bytes_per_token * totals.block_tokens;
    asked = {};
    wanted = { dram: data.chosen[0] * block, nvme: data.chosen[1] * block };
    $("model").selectedIndex = data.models.findIndex(([name]) => name === setting.model);
    $("writes").value = `${setting.writes}:${setting.admit}`;
    $("drives").value = setting.drives ?? 0;
    const set = (id, value) => { $(id).value = value ?? ""; };
    set("capacity", setting.drive_capacity_bytes && setting.drive_capacity_bytes / 1e12);
    set("tbw", setting.tbw_bytes && setting.tbw_bytes / 1e15);
    set("rate", setting.load.rate_scale);
    set("prefill", setting.prefill_tokens_per_s);
    set("price-dram", setting.prices.dram_per_gib);
    set("price-nvme", setting.prices.nvme_per_tb);
    set("price-gpu", setting.prices.gpu_hour);
    set("years", setting.prices.years);
  }

  // A link may name a point: #dram=BLOCKS&nvme=BLOCKS&tbw=14, by the names of the controls.
  function follow(hash) {
    for (const [id, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
      if (id in wanted) {
        const blocks = Math.round(Number(value));
        if (!(blocks >= 0)) continue;
        asked[id] = blocks;
        wanted[id] = blocks * blockOfModel();
      }
      else if ($(id)?.closest("#wi-form")) $(id).value = value;
    }
  }
  const blockOfModel = () => data.models[$("model").selectedIndex][1] * totals.block_tokens;

  $("model").append(...data.models.map(([name]) => new Option(name, name)));
  $("writes").append(new Option("when DRAM evicts it (exclusive tiers)", "exclusive:1"));
  for (const admit of data.admits) {
    const which = admit === 1 ? "when computed (through)" : `through, from touch ${admit} on`;
    $("writes").append(new Option(which, `through:${admit}`));
  }
  reset();
  follow(location.hash);
  $("wi-form").addEventListener("submit", (event) => event.preventDefault());
  $("wi-form").addEventListener("input", ({ target }) => {
    if (target.dataset.for) $(target.dataset.for).value = target.value;
    if (target.id === "dram") wanted.dram = dramSizes(shown)[target.valueAsNumber] * blockOfModel();
    if (target.id === "nvme") wanted.nvme = sizes(shown, shown.dram)[target.valueAsNumber] * blockOfModel();
    if (target.id === "model") asked = {};
    delete asked[target.id];
    update();
  });
  addEventListener("resize", update);
  addEventListener("hashchange", () => { follow(location.hash); update(); });
  $("wi-reset").addEventListener("click", () => { reset(); update(); });
  $("wi-copy").addEventListener("click", () => navigator.clipboard?.writeText($("wi-command").textContent));
  $("what-if").hidden = false;
  update();
})();
