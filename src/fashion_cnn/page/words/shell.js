/* The words of the header, and those that several views share. */
export default {
  network: { en: "The network", ko: "신경망" },
  convolution: { en: "A convolution", ko: "합성곱" },
  learning: { en: "Learning", ko: "학습" },
  home: { en: "index.html", ko: "ko/index.html" },
  views: { en: "Views", ko: "화면" },
  skip: { en: "Skip to the content", ko: "본문으로 건너뛰기" },
  "other language": { en: "한국어", ko: "English" },
  "to dark": { en: "Dark theme", ko: "어두운 화면" },
  "to light": { en: "Light theme", ko: "밝은 화면" },

  play: { en: "Play", ko: "재생" },
  pause: { en: "Pause", ko: "멈춤" },
  weights: { en: "weights", ko: "가중치" },
  "padding cell": { en: "padding", ko: "패딩" },
  bias: { en: "bias", ko: "절편" },
};
