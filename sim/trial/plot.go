package trial

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// A plot is lines over the seconds of a trial.
type plot struct {
	Title, Unit string
	Lines       []line
}

// A line is one value over time.
type line struct {
	Name string
	X, Y []float64
}

// The drawing area of a plot, in SVG's units.
const (
	plotWidth, plotHeight = 900, 300
	plotLeft, plotRight   = 60, 15
	plotTop, plotBottom   = 40, 35
	plotPoints            = 600 // a line has at most about so many
	barHeight, barLeft    = 22, 250
)

// colours are told apart also by those who do not see all of them.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}

func (p plot) svg() template.HTML {
	var mostX, mostY float64
	for _, l := range p.Lines {
		for i := range l.X {
			mostX, mostY = max(mostX, l.X[i]), max(mostY, l.Y[i])
		}
	}
	stepX, stepY := nice(mostX), nice(mostY)
	mostX, mostY = max(mostX, stepX), stepY*math.Ceil(max(mostY, stepY)/stepY)
	x := func(v float64) float64 { return plotLeft + v/mostX*(plotWidth-plotLeft-plotRight) }
	y := func(v float64) float64 { return plotHeight - plotBottom - v/mostY*(plotHeight-plotTop-plotBottom) }

	out := &strings.Builder{}
	fmt.Fprintf(out, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.Title))
	fmt.Fprintf(out, `<text x="%d" y="14" font-weight="600">%s (%s)</text>`, plotLeft, template.HTMLEscapeString(p.Title), template.HTMLEscapeString(p.Unit))
	for v := 0.0; v <= mostY*1.001; v += stepY {
		fmt.Fprintf(out, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, plotWidth-plotRight, y(v), y(v), plotLeft-6, y(v)+4, figure(v))
	}
	for v := 0.0; v <= mostX*1.001; v += stepX {
		fmt.Fprintf(out, `<text x="%.1f" y="%d" text-anchor="middle">%s s</text>`, x(v), plotHeight-12, figure(v))
	}
	for i, l := range p.Lines {
		colour := colours[i%len(colours)]
		fmt.Fprintf(out, `<text x="%d" y="30" style="fill:%s">%s</text>`, plotLeft+i*200, colour, template.HTMLEscapeString(l.Name))
		fmt.Fprintf(out, `<polyline fill="none" stroke="%s" stroke-width="1.8" points="`, colour)
		every := max(len(l.X)/plotPoints, 1)
		for j := range l.X {
			if j%every == 0 || j == len(l.X)-1 {
				fmt.Fprintf(out, "%.1f,%.1f ", x(l.X[j]), y(l.Y[j]))
			}
		}
		out.WriteString(`"/>`)
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) // every text in it was escaped above
}

// A bar is several values of one thing, drawn over each other.
type bar struct {
	Name   string
	Values []float64 // rising
}

func barsSVG(title string, bars []bar) template.HTML {
	var most float64
	for _, b := range bars {
		most = max(most, b.Values[len(b.Values)-1])
	}
	step := nice(most)
	most = max(step*math.Ceil(most/step), step)
	height := plotTop + barHeight*len(bars) + plotBottom
	x := func(v float64) float64 { return barLeft + v/most*(plotWidth-barLeft-plotRight) }

	out := &strings.Builder{}
	fmt.Fprintf(out, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, height, template.HTMLEscapeString(title))
	fmt.Fprintf(out, `<text x="10" y="14" font-weight="600">%s</text>`, template.HTMLEscapeString(title))
	for v := 0.0; v <= most*1.001; v += step {
		fmt.Fprintf(out, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s s</text>`,
			x(v), x(v), plotTop-10, height-plotBottom, x(v), height-12, figure(v))
	}
	for i, b := range bars {
		top := plotTop + i*barHeight
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`, barLeft-8, top+12, template.HTMLEscapeString(b.Name))
		for j := len(b.Values) - 1; j >= 0; j-- { // the longest first: the shorter lie on it
			fmt.Fprintf(out, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="#0072b2" fill-opacity="%.2f"/>`,
				barLeft, top, max(x(b.Values[j])-barLeft, 1), barHeight-7, []float64{1, 0.5, 0.25}[min(j, 2)])
		}
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) // every text in it was escaped above
}

// nice is a round step that divides an axis up to most into four to eight.
func nice(most float64) float64 {
	if most <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most/5)))
	for _, m := range []float64{1, 2, 5} {
		if most/(m*power) <= 8 {
			return m * power
		}
	}
	return 10 * power
}

func figure(v float64) string { return fmt.Sprintf("%.6g", v) }
