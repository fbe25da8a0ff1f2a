/* A justified layout: rows of one width, pictures in their own shapes. Rows are made
 * once and stay; only the last is open until more pictures come, or none do.
 *
 * A picture that is very wide or very tall is shown cut. */

const NARROWEST = 0.5;
const WIDEST = 3;

const shape = (item) => Math.min(WIDEST, Math.max(NARROWEST, item.width / item.height));

export function rowHeight(width) {
  if (width < 480) return 120;
  return Math.round(Math.min(340, 150 + width / 16));
}

export class Layout {
  constructor(width, gap = 6, height = rowHeight(width)) {
    Object.assign(this, { width, gap, target: height, rows: [], bottom: 0, from: 0, sum: 0, shapes: [] });
  }

  /* Sum of shapes of a row of n pictures that fill the width at a height. */
  heightOf(n, sum) {
    return (this.width - this.gap * (n - 1)) / sum;
  }

  add(items) {
    for (const item of items) {
      const own = shape(item);
      const n = this.shapes.length;
      // Closes the row before this picture where that comes nearer to the target.
      if (n && this.heightOf(n + 1, this.sum + own) < this.target) {
        const without = this.heightOf(n, this.sum);
        const withIt = this.heightOf(n + 1, this.sum + own);
        if (without / this.target < this.target / withIt) {
          this.close(without);
          this.shapes = [own];
          this.sum = own;
          continue;
        }
        this.shapes.push(own);
        this.sum += own;
        this.close(withIt);
        continue;
      }
      this.shapes.push(own);
      this.sum += own;
    }
  }

  /* Ends a row though it is not full, and leaves room below it. */
  cut(room) {
    this.finish();
    const at = this.bottom;
    this.bottom += room;
    return at;
  }

  finish() {
    if (!this.shapes.length) return;
    this.close(Math.min(this.target, this.heightOf(this.shapes.length, this.sum)));
  }

  close(height) {
    let left = 0;
    const boxes = this.shapes.map((own) => {
      const box = { left, width: own * height };
      left += own * height + this.gap;
      return box;
    });
    this.rows.push({ top: this.bottom, height, from: this.from, boxes });
    this.bottom += height + this.gap;
    this.from += this.shapes.length;
    this.shapes = [];
    this.sum = 0;
  }

  /* The first row that ends below y, by halves. */
  rowAt(y) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].top + this.rows[middle].height < y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /* The row that holds picture i. */
  rowOf(i) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].from <= i) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
