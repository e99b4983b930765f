// Time: the video decides it while it plays, a clock does where the video cannot be shown.

import { bytesOf } from "report/arrays";

const END_MARGIN = 1e-3; // Seconds; a position at the very end shows no frame in some browsers.

/**
 * Playback of a clip whose frames are shown at `times`, in seconds from the first.
 * Calls onFrame(frame) for each frame that is to be shown, onPlaying(playing) when that changes, and onNoVideo() when
 * the browser cannot show the video.
 */
export class Playback {
  constructor(video, base64, times, { onFrame, onPlaying, onNoVideo }) {
    this.times = times;
    this.frame = -1;
    this.playing = false;
    this.speed = 1;
    this.duration = times.at(-1) + (times.length > 1 ? times.at(-1) / (times.length - 1) : 0);
    this._video = video;
    this._onFrame = onFrame;
    this._onPlaying = onPlaying;
    this._hasVideo = false;
    this._clock = { since: 0, time: 0 };
    this._presented = null; // Time of the video frame on the screen, where the browser tells it.
    this._loadVideo(base64, onNoVideo);
    this.seek(0);
  }

  /** Show a frame, and pause. */
  seek(frame) {
    this.pause();
    const wanted = Math.max(0, Math.min(this.times.length - 1, frame));
    if (this._hasVideo) this._video.currentTime = this._middleOf(wanted);
    this._show(wanted);
  }

  play() {
    if (this.playing || this.times.length < 2) return;
    const start = this.frame >= this.times.length - 1 ? 0 : this.frame;
    this._clock = { since: performance.now(), time: this.times[start] };
    if (this._hasVideo) {
      this._presented = null;
      this._video.playbackRate = this.speed;
      if (start !== this.frame) this._video.currentTime = 0;
      this._video.play().catch(() => (this._hasVideo = false));
    }
    this.playing = true;
    this._onPlaying(true);
    requestAnimationFrame(() => this._step());
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this._video.pause();
    this._onPlaying(false);
  }

  setSpeed(speed) {
    this._clock = { since: performance.now(), time: this._now() };
    this.speed = speed;
    this._video.playbackRate = speed;
  }

  _loadVideo(base64, onNoVideo) {
    this._video.src = URL.createObjectURL(new Blob([bytesOf(base64)], { type: "video/mp4" }));
    this._video.addEventListener("loadeddata", () => {
      this._hasVideo = true;
      if (!this.playing) this._video.currentTime = this._middleOf(this.frame);
    });
    this._video.addEventListener("error", () => {
      this._hasVideo = false;
      onNoVideo();
    });
    const onFrame = (_, { mediaTime }) => {
      this._presented = mediaTime;
      this._video.requestVideoFrameCallback(onFrame);
    };
    this._video.requestVideoFrameCallback?.(onFrame);
  }

  _step() {
    if (!this.playing) return;
    const time = this._now();
    if (time >= this.duration - END_MARGIN || this._video.ended) {
      this._show(this.times.length - 1);
      this.pause();
      return;
    }
    this._show(this._frameAt(time));
    requestAnimationFrame(() => this._step());
  }

  /** Seconds from the first frame. */
  _now() {
    if (this._hasVideo) return this._presented ?? this._video.currentTime;
    return this._clock.time + (this.speed * (performance.now() - this._clock.since)) / 1000;
  }

  /** The frame that is shown at a time. */
  _frameAt(time) {
    let low = 0;
    let high = this.times.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle] <= time + 1e-4) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** A time in the middle of a frame, so that rounding does not lead to its neighbor. */
  _middleOf(frame) {
    const next = frame + 1 < this.times.length ? this.times[frame + 1] : this.duration;
    return Math.min((this.times[frame] + next) / 2, this.duration - END_MARGIN);
  }

  _show(frame) {
    if (frame === this.frame) return;
    this.frame = frame;
    this._onFrame(frame);
  }
}
